"""One slot at one time, summed over the workers: control reads it every 100 ms, the judge decides on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.rollout.outcome import OUTCOMES
from router.rollout.stats.breadth import Epoch
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.work_counts import WorkCounts

SAMPLE_SCALARS: Final = 32
"""Words of a sample without its histograms; words without a meaning are zero."""
ROLES: Final = ("none", "active", "standby", "candidate")
"""A sample's `role` is an index into these."""

_STALLED: Final = 1
_HISTOGRAMS: Final = 2

Counters = tuple[int, ...]
"""Counters that only grow: claimed, begun, faults_unbegun, rescued, abandoned_long and, from OUTCOMES_AT on, the 13 outcomes."""
OUTCOMES_AT: Final = 5
NO_COUNTS: Final[Counters] = (0,) * (OUTCOMES_AT + len(OUTCOMES))
NO_TIMES: Final[Counters] = (0,) * BUCKETS
"""A histogram without counts."""
Histograms = tuple[Counters, Counters, Counters]


@dataclass(frozen=True, slots=True)
class Sample:
    """One slot at one time, summed over the workers. Counters are cumulative over the slot's incarnation.

    Gauges are `waiting` (requests without a first byte), `waiting_long` (those that wait for hang_wait_min_s or longer),
    `oldest_waiting_ns` (start of the oldest wait, 0: no request waits), `last_begun_ns` and `gap_max_us`. `stalled`: a worker
    or control was late by more than stall_s since the previous sample. Histograms (`BUCKETS` counts each), `work` (by number of
    the work bucket, buckets without requests left out) and `epochs` (the present one and the one before) come with one sample
    a second. `pairs_well` and `pairs_failed` count rescued requests that the other version answered well, or failed, too.
    """

    at_ns: int
    incarnation: int
    generation: int
    role: int
    claimed: int
    begun: int
    faults_unbegun: int
    outcomes: tuple[int, ...]
    rescued: int = 0
    abandoned_long: int = 0
    waiting: int = 0
    waiting_long: int = 0
    oldest_waiting_ns: int = 0
    last_begun_ns: int = 0
    gap_max_us: int = 0
    stalled: bool = False
    first_byte: tuple[int, ...] | None = None
    duration: tuple[int, ...] | None = None
    abandoned: tuple[int, ...] | None = None
    first_useful: tuple[int, ...] | None = None
    work: Mapping[int, WorkCounts] | None = None
    epochs: tuple[Epoch, ...] = ()
    pairs_well: int = 0
    pairs_failed: int = 0

    @property
    def histograms(self) -> Histograms | None:
        """First-byte times, durations and waits that ended without a first byte; None unless all three are there."""
        if self.first_byte is None or self.duration is None or self.abandoned is None:
            return None
        return self.first_byte, self.duration, self.abandoned

    def counters(self) -> Counters:
        """Return the counters that only grow."""
        return (
            self.claimed,
            self.begun,
            self.faults_unbegun,
            self.rescued,
            self.abandoned_long,
            *self.outcomes,
        )

    def marked_stalled(self) -> Sample:
        """Return this sample with `stalled` set."""
        return replace(self, stalled=True)

    def to_words(self) -> list[int]:
        """Return this sample as `SAMPLE_SCALARS` 64-bit words, followed by 3 × `BUCKETS` if it has histograms."""
        histograms = self.histograms
        words = [self.at_ns, self.incarnation, self.generation, self.role, self.claimed, self.begun]
        words += [self.faults_unbegun, *self.outcomes, self.rescued, self.abandoned_long, self.waiting]
        words += [self.waiting_long, self.oldest_waiting_ns, self.last_begun_ns, self.gap_max_us]
        words.append(self.stalled * _STALLED | (histograms is not None) * _HISTOGRAMS)
        words += [0] * (SAMPLE_SCALARS - len(words))
        for histogram in histograms or ():
            words += histogram
        return words

    @classmethod
    def from_words(cls, words: Sequence[int]) -> Sample:
        """Return the sample that `to_words` wrote; further words are ignored."""
        at_ns, incarnation, generation, role, claimed, begun, unbegun = words[:7]
        ends = 7 + len(OUTCOMES)
        rescued, abandoned_long, waiting, waiting_long, oldest_ns, begun_ns, gap_us, flags = words[ends : ends + 8]
        first_byte = duration = abandoned = None
        if flags & _HISTOGRAMS and len(words) > SAMPLE_SCALARS:
            starts = (SAMPLE_SCALARS + which * BUCKETS for which in range(3))
            first_byte, duration, abandoned = (tuple(words[start : start + BUCKETS]) for start in starts)
        return cls(
            at_ns,
            incarnation,
            generation,
            role,
            claimed,
            begun,
            unbegun,
            tuple(words[7:ends]),
            rescued,
            abandoned_long,
            waiting,
            waiting_long,
            oldest_ns,
            begun_ns,
            gap_us,
            bool(flags & _STALLED),
            first_byte,
            duration,
            abandoned,
        )
