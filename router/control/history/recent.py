"""The last fifteen minutes of every version in steps of a second. They are in memory: a new control begins anew.

A point is the difference of two samples with histograms of the judge, which come once a second. A standby or a draining version
has a point only for a second in which something was asked of it.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from router.control.core.service_controller import ServiceController
from router.control.history.answers import HistoryPoint
from router.rollout.placement.slot_table import SlotHolder
from router.rollout.stats.histogram import quantile
from router.rollout.stats.window import Window, WindowEntry, between
from router.runtime import clock

KEPT_S: Final = 900.0
POINTS_MAX: Final = 3 * 900
"""Of one service: the active version, and two others that are asked all the time. A point takes about 150 bytes."""
ROLES: Final = ("none", "active", "standby", "candidate", "draining")
VERDICTS: Final = ("inconclusive", "pass", "fail")
_SHOWN: Final = ("undecided", "pass", "fail")
_PACKED: Final = struct.Struct("<qHBBBf8If6f")
_NONE: Final = math.nan


@dataclass(slots=True)
class _Last:
    """The last sample of a slot that went into a point."""

    incarnation: int
    entry: WindowEntry


class RecentHistory:
    """The seconds of one service."""

    def __init__(self) -> None:
        self._points: deque[bytes] = deque(maxlen=POINTS_MAX)
        self._versions: list[str] = []
        self._last: dict[int, _Last] = {}
        self._newest_ms = 0

    def __len__(self) -> int:
        return len(self._points)

    def record(self, service_controller: ServiceController, now_s: float, now_ns: int) -> None:
        """Add the points of the second that ends now; `now_s` is wall time."""
        held = set()
        for holder in service_controller.executor.held.holders():
            if (entry := service_controller.judge.newest_full_entry(holder.slot)) is None:
                continue
            held.add(holder.slot)
            last = self._last.get(holder.slot)
            if last is not None and last.entry.at_ns == entry.at_ns:
                continue
            self._last[holder.slot] = _Last(holder.incarnation, entry)
            if last is not None and last.incarnation == holder.incarnation == entry.sample.incarnation:
                at_s = now_s - (now_ns - entry.at_ns) / 1e9
                self._add(service_controller, holder, last.entry, entry, at_s)
        self._last = {slot: last for slot, last in self._last.items() if slot in held}

    def _add(
        self,
        service_controller: ServiceController,
        holder: SlotHolder,
        base: WindowEntry,
        entry: WindowEntry,
        at_s: float,
    ) -> None:
        active = holder.role == "active"
        at_rest = entry.counters == base.counters and not entry.sample.waiting
        if at_rest and not active:
            return
        window = between(base, entry, histograms=not at_rest)
        self._newest_ms = int(at_s * 1000)
        verdict = VERDICTS.index(service_controller.verdict.state) if active else 0
        useful, without_use = _work(base, entry)
        ready = service_controller.machine.streaks.ready(holder.target)
        self._points.append(
            _PACKED.pack(
                self._newest_ms,
                self._number(holder.target.version),
                ROLES.index(holder.role),
                int(ready),
                verdict,
                (entry.at_ns - base.at_ns) / 1e9,
                window.claimed,
                window.requests,
                window.failed,
                useful,
                without_use,
                window.rescued,
                window.abandoned_long,
                entry.sample.waiting,
                max(0.0, (entry.at_ns - base.at_ns) / 1e9 - window.covered_s),
                *_times(window),
            )
        )

    def _number(self, version: str) -> int:
        """Return the number of a version; the numbers of versions without a point are given again."""
        if version in self._versions:
            return self._versions.index(version)
        if len(self._versions) >= POINTS_MAX:
            self._versions.clear()
            self._points.clear()
        self._versions.append(version)
        return len(self._versions) - 1

    def points(self, since_s: float, until_s: float, version: str | None = None) -> list[HistoryPoint]:
        """Return the points between two wall times, oldest first."""
        begin_ms, end_ms = int(since_s * 1000), int(until_s * 1000)
        found = (self._document(point) for point in self._points if begin_ms < _PACKED.unpack(point)[0] <= end_ms)
        return [point for point in found if version is None or point["version"] == version]

    def newest(self) -> list[HistoryPoint]:
        """Return the points of the newest second."""
        found: list[HistoryPoint] = []
        for point in reversed(self._points):
            if _PACKED.unpack(point)[0] < self._newest_ms - 500:
                break
            found.append(self._document(point))
        return found[::-1]

    def _document(self, point: bytes) -> HistoryPoint:
        at_ms, version, role, ready, verdict, seconds, *rest = _PACKED.unpack(point)
        asked, requests, faults, useful, without_use, rescued, abandoned_long, waiting, stalled_s, *times = rest
        p50, p95, p99, useful_p50, useful_p95, useful_p99 = map(_number_or_none, times)
        return {
            "at": clock.iso(at_ms / 1000),
            "version": self._versions[version],
            "role": ROLES[role],
            "seconds": round(seconds, 3),
            "asked": asked,
            "requests": requests,
            "faults": faults,
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "rescued": rescued,
            "abandoned_long": abandoned_long,
            "stalled_s": round(stalled_s, 3),
            "waiting_max": waiting,
            "ready": bool(ready),
            "verdict": _SHOWN[verdict] if ROLES[role] == "active" else None,
            "useful": useful,
            "without_use": without_use,
            "useful_p50_ms": useful_p50,
            "useful_p95_ms": useful_p95,
            "useful_p99_ms": useful_p99,
        }


def _times(window: Window) -> Iterable[float]:
    """Return p50, p95 and p99 of the first bytes and of the first useful bytes in milliseconds; NaN without any."""
    for times in (window.first_byte, window.first_useful):
        counts = times or ()
        has_any = any(counts)
        for share in (0.5, 0.95, 0.99):
            found = quantile(counts, share) if has_any else None
            yield _NONE if found is None else found / 1000


def _work(base: WindowEntry, entry: WindowEntry) -> tuple[int, int]:
    """Return the attempts that became useful, and those that ended without use."""
    before, now = base.sample.work or {}, entry.sample.work or {}
    useful = sum(counts.useful for counts in now.values()) - sum(counts.useful for counts in before.values())
    without = sum(counts.without_use for counts in now.values()) - sum(counts.without_use for counts in before.values())
    return max(0, useful), max(0, without)


def _number_or_none(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)
