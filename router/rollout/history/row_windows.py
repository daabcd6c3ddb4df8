"""The windows of the judge, rebuilt from stored rows of active versions, at the resolution of a row.

A run is a sequence of rows of one version without a pause. A gap, another boot or another version begins a new run, as for the
judge. A sum over a trailing window costs one search, so rows in which nothing can fail are cheap. Only where a trigger may
fail, the rows become samples of a `SlotHistory`, and the trigger itself evaluates them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Final

from router.rollout.history.row import Row, Sparse, dense, unpack
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.evidence import Evidence
from router.rollout.judge.rules import Rules
from router.rollout.stats.histogram import BUCKETS, lower_bound
from router.rollout.stats.sample import NO_COUNTS, ROLES, Sample
from router.rollout.stats.window import SlotHistory

GAP_MAX_MS: Final = 5_000
"""Largest gap between two rows of one run."""
BACK_ROWS: Final = 128
"""Rows that become samples at once: more than the longest window has, also with changes of roles in it."""
ROWS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class WindowLimit:
    """A limit in µs above which an answer is late: of whole answers (`last_byte`) or of first bytes."""

    micros: float
    last_byte: bool = False


class _Late:
    """Counts the answers above one limit: the bucket of the limit, and the share of that bucket above it."""

    def __init__(self, limit: WindowLimit) -> None:
        self.which = int(limit.last_byte)
        self._bucket = min(bisect_right(_BOUNDS, limit.micros) - 1, BUCKETS - 1)
        low, high = _BOUNDS[self._bucket], _BOUNDS[self._bucket + 1]
        self._share = max(high - max(limit.micros, low), 0.0) / (high - low)

    def above(self, sparse: Sparse) -> float:
        """Return the number of answers above the limit; its bucket counts in proportion (as in histogram.above)."""
        buckets, counts = sparse
        if not buckets or buckets[-1] < self._bucket:
            return 0.0
        first = bisect_right(buckets, self._bucket)
        number = float(sum(counts[first:]))
        if first and buckets[first - 1] == self._bucket:
            number += counts[first - 1] * self._share
        return number


_BOUNDS: Final = tuple(lower_bound(bucket) for bucket in range(BUCKETS + 1))


class RowWindows:
    """Add rows of active versions, oldest first. Late answers are counted for each of `limits`.

    Rows beyond `rows_max` are dropped as far as no window reaches them.
    """

    def __init__(self, limits: Sequence[WindowLimit] = (), rows_max: int = ROWS_MAX) -> None:
        self.limits = list(limits)
        self._rows_max = rows_max
        self.row: Row | None = None
        """The row that was added last."""
        self.fresh = True
        """Whether this row began a new run."""
        self.row_faults = 0
        self.rows = 0
        self.covered_ms = 0
        self._begin(0)

    def _begin(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self._at = [start_ms]
        self._requests = [0]
        self._faults = [0]
        self._late: list[list[float]] = [[0.0] for _ in self.limits]
        self._timed: list[list[float]] = [[0.0] for _ in self.limits]
        self._late_counters = [_Late(limit) for limit in self.limits]
        self._rows: list[Row] = []
        self._after_stall = False
        self._sums: dict[float, tuple[int, int]] = {}
        self._bases: dict[float, int] = {}
        self._drop_history()

    def _drop_history(self) -> None:
        self._history: SlotHistory | None = None
        self._evidence = Evidence()
        self._appended = 0

    def add(self, row: Row) -> None:
        """Add the next row."""
        last = self.row
        self.fresh = last is None or not _continues(last, row)
        if self.fresh:
            self._begin(row.monotonic_ms - row.span_ms)
        self.row = row
        self.rows += 1
        self.covered_ms += row.span_ms
        # As in `SlotHistory`: a row with a stall is left out, and so is the row after it.
        stalled = row.stalled_ms > 0
        left_out, self._after_stall = stalled or self._after_stall, stalled
        self._at.append(row.monotonic_ms)
        self._requests.append(self._requests[-1] + (0 if left_out else row.requests))
        self.row_faults = row.faults
        self._faults.append(self._faults[-1] + (0 if left_out else self.row_faults))
        self._add_lateness(row, left_out)
        self._rows.append(row)
        self._sums.clear()
        self._bases.clear()
        if len(self._at) > self._rows_max:
            self._trim()

    def _add_lateness(self, row: Row, left_out: bool) -> None:
        sparse = None if left_out or not self.limits else unpack(row.histograms)
        if sparse is None:
            for sums in (*self._late, *self._timed):
                sums.append(sums[-1])
            return
        totals, abandoned = (sum(sparse[0][1]), sum(sparse[1][1])), sparse[2]
        for counter, late, timed in zip(self._late_counters, self._late, self._timed, strict=True):
            # As in `baseline.lateness`: a wait that ended without an answer after the limit counts as late.
            abandoned_late = counter.above(abandoned) if abandoned[0] else 0.0
            late.append(late[-1] + counter.above(sparse[counter.which]) + abandoned_late)
            timed.append(timed[-1] + totals[counter.which] + abandoned_late)

    def _trim(self) -> None:
        """Drop the rows that no window reaches."""
        gone = len(self._at) - BACK_ROWS - 1
        for counted in (self._at, self._requests, self._faults):
            del counted[:gone]
        for timed in (*self._late, *self._timed):
            del timed[:gone]
        del self._rows[:gone]
        if self._history is not None and self._appended >= gone:
            self._appended -= gone
        else:
            self._drop_history()

    # -- sums
    def _base(self, seconds: float) -> int:
        base = self._bases.get(seconds)
        if base is None:
            base = self._bases[seconds] = max(bisect_right(self._at, self._at[-1] - seconds * 1000) - 1, 0)
        return base

    def faults(self, seconds: float) -> tuple[int, int]:
        """Return (faults, requests) of the last `seconds`: at least as many faults as the weighted ones of a window."""
        known = self._sums.get(seconds)
        if known is None:
            base = self._base(seconds)
            known = self._faults[-1] - self._faults[base], self._requests[-1] - self._requests[base]
            self._sums[seconds] = known
        return known

    def lateness(self, number: int, seconds: float, since_ms: float) -> tuple[float, float]:
        """Return (late, timed) answers by limit `number` of the last `seconds`, but nothing before `since_ms`."""
        base = self._base(seconds)
        if self._at[base] < since_ms:
            base = bisect_left(self._at, since_ms)
            if base >= len(self._at):
                return 0.0, 0.0
        late, timed = self._late[number], self._timed[number]
        return late[-1] - late[base], timed[-1] - timed[base]

    # -- the context of a trigger
    def context(self, rules: Rules, baseline: Baseline | None, first_byte_timeout_s: float) -> TriggerContext:
        """Return the input of a trigger at the end of the last row."""
        history = self._current_history()
        now_ns = self._at[-1] * 1_000_000
        newest = history.newest
        return TriggerContext(
            now_ns=now_ns,
            promoted_at_ns=self.start_ms * 1_000_000,
            history=history,
            evidence=self._evidence,
            rules=rules,
            first_byte_timeout_s=first_byte_timeout_s,
            baseline=baseline if baseline is not None and baseline.requests >= rules.baseline_requests_min else None,
            paused="the router's own loop stalled just then" if newest is not None and newest.stalled else None,
        )

    def _current_history(self) -> SlotHistory:
        """Return a history that ends with the last row; a new one if the present one is too far behind."""
        first = max(0, len(self._rows) - BACK_ROWS)
        if self._history is None or self._appended < first:
            self._drop_history()
            self._history, self._appended = SlotHistory(float("inf")), first
            self._counters = NO_COUNTS
            self._times = [[0] * BUCKETS for _ in range(3)]
            self._append_sample(self._at[first], None)
        for row in self._rows[self._appended :]:
            self._append_sample(row.monotonic_ms, row)
        self._appended = len(self._rows)
        return self._history

    def _append_sample(self, at_ms: int, row: Row | None) -> None:
        assert self._history is not None
        if row is not None:
            self._counters = tuple(map(add, self._counters, _counters(row)))
            self._add_times(row)
        first_byte, duration, abandoned = (tuple(times) for times in self._times)
        claimed, begun, unbegun, rescued, abandoned_long, *outcomes = self._counters
        sample = Sample(
            at_ns=at_ms * 1_000_000,
            incarnation=1,  # of the one slot that this history has
            generation=1,
            role=ROLES.index("active"),
            claimed=claimed,
            begun=begun,
            faults_unbegun=unbegun,
            outcomes=tuple(outcomes),
            rescued=rescued,
            abandoned_long=abandoned_long,
            stalled=row is not None and row.stalled_ms > 0,
            first_byte=first_byte,
            duration=duration,
            abandoned=abandoned,
        )
        self._history.append(sample)
        if self._history.newest is not None:
            self._evidence.add(self._history.newest)

    def _add_times(self, row: Row) -> None:
        sparse = unpack(row.histograms) if self.limits else None
        for times, (buckets, counts) in zip(self._times, sparse or (), strict=False):
            for bucket, count in zip(buckets, counts, strict=True):
                times[bucket] += count


def _continues(last: Row, row: Row) -> bool:
    same = (last.version, last.boot, last.slot, last.incarnation) == (row.version, row.boot, row.slot, row.incarnation)
    return same and 0 <= row.monotonic_ms - row.span_ms - last.monotonic_ms <= GAP_MAX_MS


def _counters(row: Row) -> tuple[int, ...]:
    return (row.claimed, row.begun, row.faults_unbegun, row.rescued, row.abandoned_long, *row.outcomes)


def pooled(rows: Sequence[Row]) -> tuple[int, ...]:
    """Return the first-byte times of rows, as one histogram."""
    total = [0] * BUCKETS
    for row in rows:
        sparse = unpack(row.histograms)
        if sparse is not None:
            total = list(map(add, total, dense(sparse[0])))
    return tuple(total)
