"""Trailing windows over cumulative counters: the counts of one slot in the last N seconds.

Control samples every slot each 100 ms. A history keeps the samples in three tiers (100 ms for 20 s, 1 s for 90 s, 10 s for
15 min). A window is the difference of two samples, so the request path buckets nothing by time and resets no counter.

Periods in which this router stalled are left out of the windows: the counters of an entry are less everything that was counted
in such periods so far. A period ends one sample after the stall, because the backlog of the stall is counted in that sample.

A window without a base is None, and a rate without requests is None: "no data" is not a number.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import add, itemgetter, sub
from typing import Final

from router.rollout.outcome import FAULTS, Outcome
from router.rollout.stats.figures import share, whole_faults
from router.rollout.stats.sample import NO_COUNTS, OUTCOMES_AT, Counters, Histograms
from router.rollout.stats.sample import Sample as Sample
from router.rollout.units import SECOND_NS

TIERS: Final = (("tick", 0.1, 200), ("second", 1.0, 90), ("decade", 10.0, 90))
"""(name, seconds between samples, samples kept); shm/layout.py has rings of the same sizes."""
_EARLY_NS: Final = 50_000_000
_WINDOWS_KEPT: Final = 64
_faults_of: Final = itemgetter(*(int(outcome) for outcome in FAULTS))

_WELL_ENDED: Final = (Outcome.OK, Outcome.CLIENT_ERROR, Outcome.THROTTLED)
"""Ends of responses that had begun and were no fault."""


@dataclass(frozen=True, slots=True)
class Window:
    """The counts between `since_ns` and `until_ns`, less stalled periods; `covered_s` is the time without them."""

    since_ns: int
    until_ns: int
    covered_s: float
    claimed: int
    begun: int
    faults_unbegun: int
    rescued: int
    abandoned_long: int
    outcomes: tuple[int, ...]
    first_byte: tuple[int, ...] | None = None
    duration: tuple[int, ...] | None = None
    abandoned: tuple[int, ...] | None = None
    set_aside: int = 0
    first_useful: tuple[int, ...] | None = None

    @property
    def requests(self) -> int:
        """Attempts in the window whose response began, or that failed before; without those that are set aside."""
        return self.begun + self.faults_unbegun - self._aside

    @property
    def _aside(self) -> int:
        """Faults of ejected addresses. They are set aside when the address is ejected, a little later than they were counted."""
        if not self.set_aside:
            return 0
        return min(self.set_aside, count_faults(self.outcomes), self.begun + self.faults_unbegun)

    @property
    def faults(self) -> int:
        """Attempts that ended in the window by a fault of the target; they may have begun before it."""
        return count_faults(self.outcomes) - self._aside

    @property
    def weighted_faults(self) -> float:
        """Faults that belong to the requests of this window; never more than `requests`.

        A response is counted as a request when it begins, and as a fault when it ends. If more responses end than begin (long
        streams, after arrivals have fallen), some faults belong to requests before the window. The faults then count in
        proportion to the responses that began. If as many begin as end, this equals `faults`.
        """
        late = count_faults(self.outcomes) - self.faults_unbegun
        if not late and not self.faults_unbegun:
            return 0.0
        ends = late + sum(self.outcomes[outcome] for outcome in _WELL_ENDED)
        weighted = self.faults_unbegun + (late * self.begun / ends if ends > self.begun else late)
        return max(0.0, weighted - self._aside)

    @property
    def rate(self) -> float | None:
        """Share of requests that failed, 0 to 1 (rollout/outcome.py), weighted; None without requests."""
        return share(self.weighted_faults, self.requests)

    @property
    def failed(self) -> int:
        """Requests of this window that failed, a whole number: triggers decide on the number that users read."""
        return whole_faults(self.weighted_faults, self.requests)

    @property
    def failed_share(self) -> float | None:
        """`failed` of `requests`; None without requests."""
        return share(self.failed, self.requests)


def count_faults(outcomes: Sequence[int]) -> int:
    """Return the number of ends by a fault of the target; `outcomes` are 13 counts."""
    return sum(_faults_of(outcomes))


@dataclass(frozen=True, slots=True)
class WindowEntry:
    """A sample; counters, histograms and `first_useful` are without the counts of stalled periods, `running_ns` is time
    without those periods.
    """

    at_ns: int
    running_ns: int
    counters: Counters
    histograms: Histograms | None
    stalled: bool
    sample: Sample
    first_useful: Counters | None = None


class _Tier:
    """Samples of one spacing, oldest first. Two more than `kept`, so that a window of full length has its base."""

    def __init__(self, name: str, step_s: float, kept: int) -> None:
        self.name = name
        self._step_ns = int(step_s * SECOND_NS)
        self._kept = kept + 2
        self.every = step_s < 1
        self.at: list[int] = []
        self.entries: list[WindowEntry] = []

    def is_due(self, entry: WindowEntry) -> bool:
        if self.every or not self.at:
            return True
        # Half a tick early is on time. A sample without histograms is skipped for half a second: one with histograms follows.
        due_ns = self._step_ns + (-_EARLY_NS if entry.histograms else SECOND_NS // 2)
        return entry.at_ns - self.at[-1] >= due_ns

    def append(self, entry: WindowEntry) -> None:
        self.at.append(entry.at_ns)
        self.entries.append(entry)
        if len(self.at) > self._kept + 64:
            del self.at[: -self._kept], self.entries[: -self._kept]

    def base(self, start_ns: int, since_ns: int) -> int | None:
        """Return the index of the newest entry at or before `start_ns`, or of the first at or after a later `since_ns`."""
        if not self.at or self.at[0] > max(start_ns, since_ns):
            return None
        index = bisect_left(self.at, since_ns) if since_ns > start_ns else bisect_right(self.at, start_ns) - 1
        return index if index < len(self.at) else None


class SlotHistory:
    """The samples of one slot. A new incarnation clears them: nothing of the previous version is returned."""

    def __init__(self, stall_s: float = 1.0) -> None:
        self._stall_s = stall_s
        self._clear()

    def reconfigure(self, stall_s: float) -> None:
        """Count longer gaps than `stall_s` between two samples as stalls, from the next sample on."""
        self._stall_s = stall_s

    def _clear(self) -> None:
        self._tiers = [_Tier(*tier) for tier in TIERS]
        self._newest: WindowEntry | None = None
        self._newest_full: WindowEntry | None = None
        self._late = self._late_full = False
        self._left_out: Counters = NO_COUNTS
        self._left_out_ns = 0
        self._left_out_full: Histograms | None = None
        self._left_out_useful: Counters | None = None
        self._windows: dict[tuple[int, int, bool], Window | None] = {}
        """The windows that were asked for since the newest sample: several triggers ask for the same ones."""

    @property
    def newest(self) -> WindowEntry | None:
        """The newest entry; None before the first sample."""
        return self._newest

    @property
    def newest_full(self) -> WindowEntry | None:
        """The newest entry with histograms."""
        return self._newest_full

    def append(self, sample: Sample) -> list[str]:
        """Add a sample; return the names of the tiers that keep it. A sample that is not newer than the last is dropped."""
        newest = self._newest
        if newest is not None and sample.incarnation != newest.sample.incarnation:
            self._clear()
        elif newest is not None and sample.at_ns <= newest.at_ns:
            return []
        entry = self._entry(sample)
        self._newest = entry
        self._windows.clear()
        if entry.histograms is not None:
            self._newest_full = entry
        kept_in = [tier for tier in self._tiers if tier.is_due(entry)]
        for tier in kept_in:
            tier.append(entry)
        return [tier.name for tier in kept_in]

    def restore(self, tiers: dict[str, Sequence[Sample]]) -> None:
        """Replace the contents by the samples of an earlier process, by tier; only the newest incarnation is used.

        A gap between samples of a coarser tier is no stall: the samples between were not kept.
        """
        self._clear()
        kept = {name: {sample.at_ns: sample for sample in samples} for name, samples in tiers.items()}
        ticks = kept.get(TIERS[0][0], {})
        # The coarser tiers have the histograms. Only the finest tier has whether the last 100 ms stalled.
        merged = {at_ns: sample for name, _, _ in TIERS for at_ns, sample in kept.get(name, {}).items()}
        newest = max((sample.incarnation for sample in merged.values()), default=0)
        for at_ns, sample in sorted(merged.items()):
            if sample.incarnation != newest:
                continue
            if at_ns in ticks:
                sample = replace(sample, stalled=ticks[at_ns].stalled)
            entry = self._entry(sample, gap_matters=at_ns in ticks)
            self._newest = entry
            self._newest_full = entry if entry.histograms is not None else self._newest_full
            for tier in self._tiers:
                if at_ns in kept.get(tier.name, {}):
                    tier.append(entry)

    def _entry(self, sample: Sample, gap_matters: bool = True) -> WindowEntry:
        """Return the entry of the next sample, without the counts since the last sample if that period stalled."""
        histograms, last = sample.histograms, self._newest
        if last is not None and self._goes_on(sample, last, gap_matters):
            running_ns = sample.at_ns - self._left_out_ns
            return WindowEntry(sample.at_ns, running_ns, last.counters, None, False, sample)
        counters = sample.counters()
        late = sample.stalled
        if last is not None:
            gap_ns = sample.at_ns - last.at_ns
            late = late or (gap_matters and gap_ns > self._stall_s * SECOND_NS)
            if late or self._late:
                before = last.sample.counters()
                self._left_out = tuple(map(add, self._left_out, map(sub, counters, before)))
                self._left_out_ns += gap_ns
                self._late_full = True
        stalled = late or (last is not None and self._late)
        self._late = late
        useful = sample.first_useful
        if histograms is not None:
            useful = self._useful_less_stalls(useful)
            histograms = self._less_stalls(histograms)
        if any(self._left_out):
            counters = tuple(map(sub, counters, self._left_out))
        running_ns = sample.at_ns - self._left_out_ns
        return WindowEntry(sample.at_ns, running_ns, counters, histograms, stalled, sample, useful)

    def _goes_on(self, sample: Sample, last: WindowEntry, gap_matters: bool) -> bool:
        """Whether a sample without histograms only repeats the counts of the last one, and no stall lies between."""
        if self._late or sample.stalled or sample.first_byte is not None or not sample.repeats(last.sample):
            return False
        return not gap_matters or sample.at_ns - last.at_ns <= self._stall_s * SECOND_NS

    def _useful_less_stalls(self, useful: Counters | None) -> Counters | None:
        """Return the times to the first useful byte without those of stalled periods; call it before `_less_stalls`."""
        last = self._newest_full.sample.first_useful if self._newest_full is not None else None
        if self._late_full and last is not None and useful is not None:
            grown = tuple(map(sub, useful, last))
            known = self._left_out_useful
            self._left_out_useful = grown if known is None else tuple(map(add, known, grown))
        left_out = self._left_out_useful
        return useful if useful is None or left_out is None else tuple(map(sub, useful, left_out))

    def _less_stalls(self, histograms: Histograms) -> Histograms:
        last = self._newest_full.sample.histograms if self._newest_full is not None else None
        if self._late_full and last is not None:
            grown = differences(histograms, last)
            left_out = self._left_out_full
            self._left_out_full = grown if left_out is None else _sums(left_out, grown)
        self._late_full = False
        return histograms if self._left_out_full is None else differences(histograms, self._left_out_full)

    def window(self, seconds: float, now_ns: int, since_ns: int = 0, *, histograms: bool = False) -> Window | None:
        """Return the last `seconds` before `now_ns`, but nothing before `since_ns`; None without data.

        The base is the newest sample that is old enough, of the finest tier that reaches back so far; otherwise the oldest
        sample. With `histograms` both ends are samples with histograms.
        """
        start_ns = now_ns - int(seconds * SECOND_NS)
        key = (start_ns, since_ns, histograms)
        if key not in self._windows:
            if len(self._windows) >= _WINDOWS_KEPT:
                self._windows.clear()
            self._windows[key] = self._window(*key)
        return self._windows[key]

    def _window(self, start_ns: int, since_ns: int, histograms: bool) -> Window | None:
        newest = self._newest_full if histograms else self._newest
        if newest is None or newest.at_ns <= max(start_ns, since_ns):
            return None
        base = self._base(start_ns, since_ns, histograms)
        return None if base is None or base.at_ns >= newest.at_ns else between(base, newest, histograms=histograms)

    def _base(self, start_ns: int, since_ns: int, full: bool) -> WindowEntry | None:
        tiers = self._tiers[1:] if full else self._tiers
        for tier in tiers:
            index = tier.base(start_ns, since_ns)
            if index is not None and (found := _first(tier, index, full)) is not None:
                return found
        oldest = [_first(tier, bisect_left(tier.at, since_ns), full) for tier in tiers]
        return min((entry for entry in oldest if entry is not None), key=lambda entry: entry.at_ns, default=None)

    def entries_since(self, since_ns: int = 0) -> Iterator[WindowEntry]:
        """Yield the entries at or after `since_ns`, oldest first, each period of time from the finest tier that has it."""
        ends = [tier.at[0] if tier.at else None for tier in self._tiers[:-1]]
        limits: list[int | None] = [None]
        for end in ends:
            limits.append(end if limits[-1] is None else min(end, limits[-1]) if end is not None else limits[-1])
        for tier, limit in zip(reversed(self._tiers), reversed(limits), strict=True):
            first = bisect_left(tier.at, since_ns)
            last = len(tier.at) if limit is None else bisect_left(tier.at, limit)
            yield from tier.entries[first:last]

    def first_fault_ns(self, since_ns: int) -> int | None:
        """Return when the first fault after the entry at or after `since_ns` was counted; None if there was none."""
        base: int | None = None
        for entry in self.entries_since(since_ns):
            faults = count_faults(entry.counters[OUTCOMES_AT:])
            if base is not None and faults > base:
                return entry.at_ns
            base = faults
        return None


def _first(tier: _Tier, index: int, full: bool) -> WindowEntry | None:
    entries = tier.entries[index:] if full else tier.entries[index : index + 1]
    return next((entry for entry in entries if not full or entry.histograms is not None), None)


def between(base: WindowEntry, newest: WindowEntry, *, histograms: bool = True) -> Window:
    """Return the counts between two entries of one history; with histograms if both have them, and they are wanted."""
    counters = tuple(map(sub, newest.counters, base.counters))
    claimed, begun, unbegun, rescued, abandoned_long = counters[:OUTCOMES_AT]
    first_byte = duration = abandoned = first_useful = None
    if histograms and newest.first_useful is not None and base.first_useful is not None:
        first_useful = tuple(map(sub, newest.first_useful, base.first_useful))
    if histograms and newest.histograms is not None and base.histograms is not None:
        first_byte, duration, abandoned = differences(newest.histograms, base.histograms)
    return Window(
        base.at_ns,
        newest.at_ns,
        (newest.running_ns - base.running_ns) / SECOND_NS,
        claimed,
        begun,
        unbegun,
        rescued,
        abandoned_long,
        counters[OUTCOMES_AT:],
        first_byte,
        duration,
        abandoned,
        max(0, newest.sample.set_aside - base.sample.set_aside),
        first_useful,
    )


def differences(newer: Histograms, older: Histograms) -> Histograms:
    """Return the counts of the three histograms between two readings."""
    return (
        tuple(map(sub, newer[0], older[0])),
        tuple(map(sub, newer[1], older[1])),
        tuple(map(sub, newer[2], older[2])),
    )


def _sums(left: Histograms, right: Histograms) -> Histograms:
    return (
        tuple(map(add, left[0], right[0])),
        tuple(map(add, left[1], right[1])),
        tuple(map(add, left[2], right[2])),
    )
