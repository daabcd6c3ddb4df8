"""What others know of the time around a rollback: which requests failed, and how many a service has in all.

Of a request stays what it was and how it ended, not what was in it: bodies and header fields are kept with the cases, where
they are redacted and really deleted; a record stays for years.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.control.incidents import formatting
from router.control.store.history import HistoryStore
from router.errors import OperatorError
from router.rollout.incidents.timeline import Timeline
from router.rollout.incidents.timeline_text import WINDOW_S
from router.rollout.stats.figures import CAPTURED_AFTER_NS
from router.rollout.text import shorten
from router.runtime import clock
from router.settings.sections.service import Objective

Document = dict[str, Any]
Captured = Callable[[str, int, int, int], Awaitable[list[Document]]]
"""Returns failing requests of a service between two monotonic moments, at most so many, newest first: Captured.failures."""
LOOKED_AT_MAX: Final = 4096
BEFORE_NS: Final = int(WINDOW_S * 1e9)
"""Before the decision: an alert begins later than what it is about, and cases are made of as much (freeze_window_s)."""
_TARGET_CHARS_MAX: Final = 200
_DAY_S: Final = 86_400
_WELL_KNOWN: Final = 0.99
_RESCUE: Final = ("version", "outcome", "status")
_KEPT: Final = ("endpoint", "method", "outcome", "status", "complaint", "request_id", "lasted_ms", "request_bytes")


@dataclass(frozen=True, slots=True)
class IncidentContext:
    """`history` keeps how many requests there are."""

    captured: Captured
    history: HistoryStore

    async def failures(self, story: Timeline, since_ns: int, items_max: int) -> Document:
        """Return the requests that failed on the version left from `since_ns` on, or shortly before the decision, as
        `failing` does. Takes milliseconds, in a thread: they are in shared memory, the oldest may have been overwritten."""
        decided_ns = story.opening.monotonic_ns
        since_ns = min(since_ns, decided_ns - BEFORE_NS)
        found = await self.captured(story.service, since_ns, decided_ns + CAPTURED_AFTER_NS, LOOKED_AT_MAX)
        before_s, after_s = (decided_ns - since_ns) / 1e9, CAPTURED_AFTER_NS / 1e9
        span = f" (requests, not attempts; from {formatting.seconds(before_s)} before the decision to {after_s:g} s after it)"
        return failing([one for one in reversed(found) if one["version"] == story.ends[0]], items_max, span)

    async def volume(self, service: str, promised: Objective, until_s: float) -> Document | None:
        """Return what was promised, and {requests, seconds}: how many a service had in how much of that window; None if
        nothing was promised, the history knows nothing, or it cannot be read now. Waits for a disk."""
        if promised.availability is None:
            return None
        since_ms, until_ms = int((until_s - promised.window_days * _DAY_S) * 1000), int(until_s * 1000)
        try:
            totals = await self.history.read(lambda file: file.totals(service, since_ms, until_ms, 1.0))
        except OperatorError:
            return None
        counted = {"requests": totals.accepted, "seconds": round(totals.seconds, 1)}
        return {**promised.model_dump(), **counted} if totals.accepted and totals.seconds else None


def failing(found: Sequence[Document], items_max: int, span: str = "") -> Document:
    """Return {known, seen, why, items}: the first and the last of `found` (oldest first), `items_max` in all; `span` says
    what they are and of which time."""
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
        "rescue": None if rescue is None else {name: rescue[name] for name in _RESCUE},
    }


def budget(volume: Document | None, failed: int | None) -> Document | None:
    """Return {share, basis}: how much of what may fail in the window has failed; None if nobody knows.

    A window of which only a part is known is taken to be like that part.
    """
    if not volume or failed is None:
        return None
    window_s = volume["window_days"] * _DAY_S
    requests = volume["requests"] * max(1.0, window_s / volume["seconds"])
    told = f"{volume['availability'] * 100:.6g} % of {formatting.count(requests)} requests in {volume['window_days']:g} days"
    if volume["seconds"] < _WELL_KNOWN * window_s:
        told += f", estimated from {formatting.seconds(volume['seconds'])}"
    return {"share": round(failed / (requests * (1 - volume["availability"])), 6), "basis": told}
