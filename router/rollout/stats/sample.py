"""One slot at one time, summed over the workers: control reads it every 100 ms, the judge decides on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from router.rollout.outcome import OUTCOMES
from router.rollout.stats.breadth import Epoch
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.work_counts import WorkCounts

ROLES: Final = ("none", "active", "standby", "candidate")
"""A sample's `role` is an index into these."""

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
    `set_aside`: faults of ejected addresses, which do not count against the version (docs/behaviour/replicas.md).
    `unchanged_since_ns`: since this sample of the same incarnation everything but the time is the same; 0: unknown.
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
    set_aside: int = 0
    unchanged_since_ns: int = field(default=0, compare=False)

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

    def again(self, at_ns: int) -> Sample:
        """Return a sample without histograms, work and epochs at another time, when everything was the same."""
        return Sample(
            at_ns,
            self.incarnation,
            self.generation,
            self.role,
            self.claimed,
            self.begun,
            self.faults_unbegun,
            self.outcomes,
            self.rescued,
            self.abandoned_long,
            self.waiting,
            self.waiting_long,
            self.oldest_waiting_ns,
            self.last_begun_ns,
            self.gap_max_us,
            pairs_well=self.pairs_well,
            pairs_failed=self.pairs_failed,
            set_aside=self.set_aside,
            unchanged_since_ns=self.unchanged_since_ns or self.at_ns,
        )

    def repeats(self, before: Sample) -> bool:
        """Whether everything but the time, and what comes once a second, is the same as in an earlier sample of the slot."""
        return 0 < self.unchanged_since_ns <= before.at_ns and not before.stalled

    def marked_stalled(self) -> Sample:
        """Return this sample with `stalled` set."""
        return replace(self, stalled=True)
