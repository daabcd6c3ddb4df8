"""The gauges of the work rows of one version: what is open, and since when. Written once a second from the exchanges in flight.

Counting them there costs the request path nothing. A body *moves* while it was read within MOVING_S: of event streams only those
that are useful and whose last read held more than comments and pings. A client that reads slowly lets its body stand, and the
version is not to blame for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from router.proxy.work.answer_watch import AnswerWatch
from router.shm import layout as at

MOVING_S: Final = 2.0
_FIELDS: Final = (
    at.B_IN_PROGRESS, at.B_WAITING, at.B_WAITING_LONG, at.B_OVERDUE, at.B_OLDEST_WAIT_NS, at.B_MOVING, at.B_LAST_MOVED_NS,
)  # fmt: skip
_IN_PROGRESS, _WAITING, _LONG, _OVERDUE, _OLDEST, _MOVING, _MOVED = range(len(_FIELDS))


class OpenAttempt(Protocol):
    """An attempt; see engine/attempt.py."""

    work_row: int
    open: bool
    sent_s: float
    watch: AnswerWatch | None


class OpenExchange(Protocol):
    """An exchange in flight; see engine/exchange.py."""

    attempt: Any
    status: int
    moved: bool
    last_byte_s: float
    paused_at_s: float


class WorkGauges:
    """The gauges of the slot row at `row`. `shown`: the buckets whose gauges are not zero."""

    def __init__(self, words: memoryview, row: int) -> None:
        self._words = words
        self._row = row
        self.shown: set[int] = set()

    def write(
        self, exchanges: Iterable[OpenExchange], overdue_us: Sequence[int], wait_min_s: float, now_s: float
    ) -> list[tuple[int, Any]]:
        """Write all gauges; return the long waits, each with its bucket. `overdue_us`: when a wait is overdue, by bucket, 0:
        unknown; `wait_min_s`: when it is long.
        """
        found: dict[int, list[int]] = {}
        long_waits: list[tuple[int, Any]] = []
        for exchange in exchanges:
            attempt: OpenAttempt = exchange.attempt
            bucket = (attempt.work_row - self._row - at.L_WORK) // at.WORK_WORDS
            gauges = found.setdefault(bucket, [0] * len(_FIELDS))
            _count(gauges, exchange, attempt, now_s)
            if attempt.open and attempt.sent_s and not _in_progress(exchange, attempt):
                _count_wait(gauges, now_s - attempt.sent_s, attempt.sent_s, overdue_us[bucket], wait_min_s)
                if now_s - attempt.sent_s >= wait_min_s:
                    long_waits.append((bucket, exchange))
        for bucket in self.shown - found.keys():
            self._store(bucket, [0] * len(_FIELDS))
        for bucket, gauges in found.items():
            self._store(bucket, gauges)
        self.shown = set(found)
        return long_waits

    def _store(self, bucket: int, gauges: list[int]) -> None:
        words, start = self._words, self._row + at.L_WORK + bucket * at.WORK_WORDS
        for offset, value in zip(_FIELDS, gauges, strict=True):
            if offset != at.B_LAST_MOVED_NS or value:  # the time stays when nothing moves any more
                words[start + offset] = value


def _in_progress(exchange: OpenExchange, attempt: OpenAttempt) -> bool:
    """Return whether a body is under way that is no event stream."""
    events = attempt.watch is not None and attempt.watch.events
    return exchange.moved and 200 <= exchange.status < 300 and not events


def _count(gauges: list[int], exchange: OpenExchange, attempt: OpenAttempt, now_s: float) -> None:
    recent = now_s - exchange.last_byte_s <= MOVING_S or exchange.paused_at_s > 0
    if _in_progress(exchange, attempt):
        gauges[_IN_PROGRESS] += attempt.open
    elif attempt.watch is None or not attempt.watch.moves():
        return
    if recent:
        gauges[_MOVING] += 1
        gauges[_MOVED] = max(gauges[_MOVED], int(exchange.last_byte_s * 1e9))


def _count_wait(gauges: list[int], waited_s: float, since_s: float, overdue_us: int, wait_min_s: float) -> None:
    gauges[_WAITING] += 1
    gauges[_LONG] += waited_s >= wait_min_s
    gauges[_OVERDUE] += bool(overdue_us) and waited_s * 1e6 >= overdue_us
    since_ns = int(since_s * 1e9)
    gauges[_OLDEST] = min(gauges[_OLDEST] or since_ns, since_ns)
