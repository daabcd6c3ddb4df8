"""Takes the samples of a service each tick: worker counters → judge and sample ring. Also the router's own stalls and faults."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from router.control.core.executor import CommandExecutor
from router.control.core.workers import Workers
from router.control.monitors.replica_monitor import ReplicaMonitor
from router.control.placement.slot_counters import HISTOGRAMS
from router.rollout.incidents.impact import beginning_ns, reading
from router.rollout.judge.judge import Judge
from router.rollout.judge.rules import Rules
from router.rollout.model.target import ROLES
from router.rollout.outcome import Outcome
from router.rollout.placement.slot_table import SlotHolder
from router.rollout.stats.epoch_history import AffectedPeriod
from router.rollout.stats.figures import delta_between
from router.rollout.stats.sample import Sample
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm.sample_ring import SampleRing
from router.shm.worker_stats import WorkerStats

_ROLE_NUMBERS: Final = {"active": 1, "standby": 2, "candidate": 3}
_UNWELL_S: Final = 60
_UNWELL_FAULTS_MIN: Final = 5
_UNKNOWN_SINCE_NS: Final = 20 * SECOND_NS
NO_TRIGGER: Final[Mapping[str, Any]] = {}


class Sampler:
    """One service's samples. Histograms, work and epochs are read once a second, and only for slots with a role."""

    def __init__(
        self, executor: CommandExecutor, judge: Judge, ring: SampleRing, replica_monitor: ReplicaMonitor
    ) -> None:
        self._executor = executor
        self._replica_monitor = replica_monitor
        self._judge = judge
        self._ring = ring
        self._full_ns = 0
        self.work: dict[int, Mapping[int, WorkCounts]] = {}
        """The work of each slot with a role, as of the last second."""
        self._at_rest: dict[int, tuple[tuple[int, int, int], tuple[tuple[int, ...], ...] | None]] = {}
        """By slot: (incarnation, attempts, ends) at the last reading without open attempts; histograms, if it was the second."""
        self._last: dict[int, tuple[list[int], SlotHolder, int, Sample]] = {}
        """By slot: the last sample without a stall, and what it was made from: counters, version and generation."""

    def restore(self) -> None:
        """Give the judge the samples that the previous control has written to the ring."""
        for holder in self._executor.held.holders():
            for tier, samples in self._ring.load(self._executor.index, holder.slot).items():
                if samples and samples[-1].incarnation == holder.incarnation:
                    self._judge.restore(holder.slot, tier, samples)

    def sample(self, now_ns: int, stalled: bool) -> None:
        """Take one sample of every slot that a version holds."""
        full = now_ns - self._full_ns >= 0.95 * SECOND_NS
        if full:
            self._full_ns = now_ns
        for holder in self._executor.held.holders():
            sample = self._next(holder, now_ns, stalled, full and holder.target.state in ROLES)
            if sample.work is not None:
                self.work[holder.slot] = sample.work
            for tier in self._judge.observe(holder.slot, sample):
                self._ring.write(self._executor.index, holder.slot, tier, sample)

    def _next(self, holder: SlotHolder, now_ns: int, stalled: bool, full: bool) -> Sample:
        """Return the next sample: the last one at another time if nothing has changed."""
        slot = holder.slot
        counts, generation = self._executor.counters.scalars(slot), self._executor.registry.generation
        set_aside = self._replica_monitor.set_aside(holder, now_ns)
        known = self._last.get(slot)
        # `scalars` returns the same list, and a version that changes is another object.
        same = known is not None and known[0] is counts and known[1] is holder and known[2] == generation
        last = known[3] if known is not None and same and not stalled and known[3].set_aside == set_aside else None
        if last is not None and not full:
            return last.again(now_ns)
        since_ns = last.unchanged_since_ns or last.at_ns if last is not None else 0
        sample = self._sample(holder, counts, set_aside, now_ns, stalled, full, since_ns)
        if stalled:
            self._last.pop(slot, None)
        else:
            self._last[slot] = counts, holder, generation, sample
        return sample

    def _sample(
        self,
        holder: SlotHolder,
        counts: list[int],
        set_aside: int,
        now_ns: int,
        stalled: bool,
        full: bool,
        unchanged_since_ns: int,
    ) -> Sample:
        executor, slot = self._executor, holder.slot
        histograms = self._histograms(holder, counts) if full else (None,) * len(HISTOGRAMS)
        return Sample(
            at_ns=now_ns,
            incarnation=holder.incarnation,
            generation=executor.registry.generation,
            role=_ROLE_NUMBERS.get(holder.role, 0),
            claimed=counts[at.L_CLAIMED],
            begun=counts[at.L_BEGUN],
            faults_unbegun=counts[at.L_FAULTS_UNBEGUN],
            outcomes=tuple(counts[at.L_OUTCOMES : at.L_OUTCOMES + at.OUTCOME_COUNT]),
            rescued=counts[at.L_RESCUED],
            abandoned_long=counts[at.L_ABANDONED_LONG],
            waiting=counts[at.L_WAITING],
            waiting_long=counts[at.L_WAITING_LONG],
            oldest_waiting_ns=counts[at.L_OLDEST_WAITING_NS],
            last_begun_ns=counts[at.L_LAST_BEGUN_NS],
            gap_max_us=counts[at.L_GAP_MAX_US],
            stalled=stalled,
            first_byte=histograms[0],
            duration=histograms[1],
            abandoned=histograms[2],
            first_useful=histograms[3],
            work=executor.counters.work(slot) if full else None,
            epochs=executor.counters.epochs(slot, holder.incarnation, now_ns) if full else (),
            pairs_well=counts[at.L_PAIRS_WELL],
            pairs_failed=counts[at.L_PAIRS_FAILED],
            set_aside=set_aside,
            unchanged_since_ns=unchanged_since_ns,
        )

    def _histograms(self, holder: SlotHolder, counts: list[int]) -> tuple[tuple[int, ...], ...]:
        """Return the histograms of a slot; those of the last reading if nothing was in flight since."""
        slot, ends = holder.slot, sum(counts[at.L_OUTCOMES : at.L_OUTCOMES + at.OUTCOME_COUNT])
        key = (holder.incarnation, counts[at.L_CLAIMED], ends)
        before, found = self._at_rest.get(slot, (None, None))
        if found is not None and before == key:
            return found
        read = tuple(self._executor.counters.histogram(slot, which) for which in HISTOGRAMS)
        if counts[at.L_CLAIMED] == ends:
            # A worker counts an end before its time: only a second reading of the same counts is sure to have it.
            self._at_rest[slot] = key, read if before == key else None
        return read


class StallDetector:
    """Detects that a live worker, or control, was late by more than `stall_s` since the last check."""

    def __init__(self, worker_stats: WorkerStats, workers: Workers) -> None:
        self._worker_stats = worker_stats
        self._workers = workers
        self._lag_sums = [self._worker_stats.lag_sum_us(index) for index in range(worker_stats.workers)]

    def check(self, now_ns: int, own_lag_s: float, stall_s: float) -> bool:
        """Return whether there was a stall since the last check; `own_lag_s` is the delay of this one."""
        stalled, stall_ns = own_lag_s > stall_s, stall_s * SECOND_NS
        for index in range(self._worker_stats.workers):
            lag_sum_us, heartbeat_ns = self._worker_stats.lag_sum_us(index), self._worker_stats.heartbeat_ns(index)
            if lag_sum_us != self._lag_sums[index]:
                stalled, self._lag_sums[index] = True, lag_sum_us
            if heartbeat_ns and now_ns - heartbeat_ns > stall_ns and index in self._workers.living():
                stalled = True
        return stalled


class RouterHealth:
    """Detects that the router's own faults make the numbers of a service unreliable."""

    def __init__(self, worker_stats: WorkerStats, index: int) -> None:
        self._worker_stats = worker_stats
        self._index = index
        self._seconds: deque[tuple[int, int, int]] = deque(maxlen=_UNWELL_S + 1)

    def unwell(self, now_ns: int, rules: Rules) -> str | None:
        """Return why error_rate and latency should pause; None while the router is healthy."""
        if not self._seconds or now_ns - self._seconds[-1][0] >= SECOND_NS:
            _, ended = self._worker_stats.exchanges(self._index)
            self._seconds.append((now_ns, sum(ended), ended[Outcome.ROUTER_FAULT]))
        first, last = self._seconds[0], self._seconds[-1]
        ended_count, faults = last[1] - first[1], last[2] - first[2]
        if faults >= _UNWELL_FAULTS_MIN and faults > rules.router_fault_share_max * ended_count:
            return f"the router itself failed {faults} of {ended_count} exchanges in {_UNWELL_S} s"
        return None


def evidence(
    judge: Judge, slot: int | None, since_ns: int | None, now_ns: int, trigger: Mapping[str, Any] = NO_TRIGGER
) -> dict[str, object] | None:
    """Return the impact of the failing version in `slot` until now: requests, errors by outcome, rescued, seconds, who failed.

    It is counted as in the incident (figures.py) and from the same time: `since_ns`, or 20 s ago if that is unknown.
    """
    trail = judge.entries(slot) if slot is not None else []
    if slot is None or not trail:
        return None
    start_ns = beginning_ns(since_ns or now_ns - _UNKNOWN_SINCE_NS, trigger, trail, now_ns)
    earlier, later = reading(trail, start_ns - 1), reading(trail, now_ns)
    cost = delta_between(earlier, later)
    seconds = round((later[0] - earlier[0]) / SECOND_NS, 3)
    return {
        "requests": cost.requests,
        "errors": cost.errors,
        "rescued": cost.rescued,
        "seconds": seconds,
        "affected": affected_counts(judge.affected(slot, start_ns), str(trigger.get("detail"))),
    }


def affected_counts(period: AffectedPeriod, detail: str) -> dict[str, int] | None:
    """Return how many distinct requests and clients failed; None if unknown. Waits count where waits are the evidence."""
    by_waits = detail in ("hang", "no_progress", "useful_share")
    requests = period.lost_requests if by_waits else period.fault_requests
    clients = period.lost_clients if by_waits else period.fault_clients
    return {"requests": requests.count, "clients": clients.count} if requests.count else None
