"""The context of a rollback: the requests that failed, and the volume of the service.

An incident keeps the path and the outcome of a request, but neither body nor header fields. Those are kept with the cases,
where they are redacted and expire; the record of an incident stays for years.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from router.control.addon import Document
from router.control.incidents import formatting
from router.control.store.history_store import HistoryStore
from router.errors import Refusal
from router.rollout.incidents.timeline import Timeline
from router.rollout.incidents.timeline_text import WINDOW_S
from router.rollout.stats.figures import CAPTURED_AFTER_NS
from router.rollout.text import shorten
from router.runtime import clock
from router.runtime.text.plurals import counted, plural
from router.settings.sections.service import Objective

Captured = Callable[[str, int, int, int], Awaitable[list[Document]]]
"""Arguments: service, two monotonic moments, limit. Returns failing requests, newest first: `CapturedRequests.failures`."""
FAILURES_READ_MAX: Final = 4096
BEFORE_NS: Final = int(WINDOW_S * 1e9)
"""Before the decision. An alert begins later than the faults that caused it; cases cover the same time (freeze_window_s)."""
_TARGET_CHARS_MAX: Final = 200
_DAY_S: Final = 86_400
_WELL_KNOWN: Final = 0.99
_RESCUE: Final = ("version", "outcome", "status")
_KEPT: Final = ("endpoint", "method", "outcome", "status", "complaint", "request_id", "lasted_ms", "request_bytes")
_LATER: Final = ("fingerprint", "refused")
"""Members that captures of older releases do not have."""


@dataclass(frozen=True, slots=True)
class IncidentContext:
    """`captured` reads failing requests, `history` counts all requests."""

    captured: Captured
    history: HistoryStore

    async def failures(self, timeline: Timeline, since_ns: int, items_max: int) -> Document:
        """Return the requests that failed on the version left, in the form of `failing`.

        They count from the earlier one of `since_ns` and BEFORE_NS before the decision. Reads shared memory in a
        thread, which takes milliseconds; workers may have overwritten the oldest requests.
        """
        decided_ns = timeline.opening.monotonic_ns
        since_ns = min(since_ns, decided_ns - BEFORE_NS)
        found = await self.captured(timeline.service, since_ns, decided_ns + CAPTURED_AFTER_NS, FAILURES_READ_MAX)
        before_s, after_s = (decided_ns - since_ns) / 1e9, CAPTURED_AFTER_NS / 1e9
        span = f" (requests, not attempts; from {formatting.seconds(before_s)} before the decision to {after_s:g} s after it)"
        return failing([one for one in reversed(found) if one["version"] == timeline.ends[0]], items_max, span)

    async def volume(self, service: str, promised: Objective, until_s: float) -> Document | None:
        """Return the objective with {requests, seconds}: how many requests the service had in how much of its window.

        None if there is no objective, if the history has no rows, or if it cannot be read now. Waits for the disk.
        """
        if promised.availability is None:
            return None
        since_ms, until_ms = int((until_s - promised.window_days * _DAY_S) * 1000), int(until_s * 1000)
        try:
            totals = await self.history.read(lambda file: file.totals(service, since_ms, until_ms, 1.0))
        except Refusal:
            return None
        counted = {"requests": totals.accepted, "seconds": round(totals.seconds, 1)}
        return {**promised.model_dump(), **counted} if totals.accepted and totals.seconds else None


def failing(found: Sequence[Document], items_max: int, span: str = "") -> Document:
    """Return {known, seen, why, items}: the first and the last of `found` (oldest first), `items_max` in all.

    `span` describes the requests and their period.
    """
    first, last = (items_max + 1) // 2, items_max // 2
    chosen = found if len(found) <= items_max else [*found[:first], *found[len(found) - last :]]
    why = f"all {len(found)} that were captured{span}"
    if len(found) > items_max:
        why = f"the first {first} and the last {last} of {len(found)} that were captured{span}"
    if not found:
        why = "no failing requests were captured"
    return {"known": bool(found), "seen": len(found), "why": why, "items": [_item(one) for one in chosen]}


def _item(found: Document) -> Document:
    rescue = found["rescue"]
    return {
        "at": clock.iso(found["at"]),
        "path": shorten(found["target"], _TARGET_CHARS_MAX),
        **{name: found[name] for name in _KEPT},
        **{name: found[name] for name in _LATER if found.get(name) is not None},
        "rescue": None if rescue is None else {name: rescue[name] for name in _RESCUE},
    }


def budget(volume: Document | None, failed: int | None) -> Document | None:
    """Return {share, basis}: the share of the error budget that was used; None if unknown.

    If only a part of the window is known, the rest is assumed to be like that part.
    """
    if not volume or failed is None:
        return None
    window_s = volume["window_days"] * _DAY_S
    requests = volume["requests"] * max(1.0, window_s / volume["seconds"])
    known = f"{formatting.count(requests)} {plural('request', formatting.count(requests))}"
    basis = f"{volume['availability'] * 100:.6g} % of {known} in {counted(volume['window_days'], 'day', 'g')}"
    if volume["seconds"] < _WELL_KNOWN * window_s:
        basis += f", estimated from {formatting.seconds(volume['seconds'])}"
    return {"share": round(failed / (requests * (1 - volume["availability"])), 6), "basis": basis}
