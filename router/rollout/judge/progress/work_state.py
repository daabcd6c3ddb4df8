"""Everything about the work of the active version at one tick: the input of `no_progress` and `useful_share`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.judge.progress.known_work import ALL_INFERENCE, KnownWork
from router.rollout.judge.progress.movement import MEAN_PARTS, PART_NS, Movement, moves
from router.rollout.judge.rules import Rules
from router.rollout.stats.breadth import EMPTY_SET, Distinct
from router.rollout.stats.epoch_history import AffectedPeriod, EpochHistory
from router.rollout.stats.window import WindowEntry
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.stats.work_history import WorkHistory
from router.rollout.units import SECOND_NS
from router.rollout.work import NAMED_BUCKETS

WARM_ANSWERS: Final = 20
"""Useful answers after which a promoted version is warm."""
SERVED_NS: Final = 900 * SECOND_NS


class SlotWork:
    """The work of one slot: counts, movement, and who was affected. A new incarnation clears all of it."""

    def __init__(self) -> None:
        self.history = WorkHistory()
        self.movement = Movement()
        self.epochs = EpochHistory()
        self.moved_ns: dict[int, int] = {}
        """When a bucket that moved last had a useful answer, or a body that moved."""
        self.queued_since_ns: dict[int, int] = {}
        """Since when a bucket moves while requests wait beyond its limit."""

    def add(self, entry: WindowEntry) -> None:
        """Add the next entry of the slot."""
        if entry.sample.incarnation != self.history.incarnation:
            self.movement.clear()
            self.epochs.clear()
            self.moved_ns.clear()
            self.queued_since_ns.clear()
        if self.history.add(entry):
            self.movement.add(self.history, entry)
            self.epochs.add(entry.sample.epochs)


@dataclass(frozen=True, slots=True)
class WorkScope:
    """Some work buckets that are judged together, and their name."""

    name: str
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WorkState:
    """Times are monotonic nanoseconds. `at_ns` is the time of the newest sample with work. `limits` is T by bucket, in seconds,
    with the warm-up; `fast_limits` is T for attempts that ended at once, which no warm-up explains. `moving`: buckets that move.
    `queued`: moving buckets whose waits are still a queue.
    """

    at_ns: int
    promoted_at_ns: int
    accepted: bool
    slot: SlotWork
    before: SlotWork | None
    known: KnownWork
    limits: Mapping[int, float] = field(default_factory=dict)
    fast_limits: Mapping[int, float] = field(default_factory=dict)
    queued: frozenset[int] = frozenset()
    moving: frozenset[int] = frozenset()

    @property
    def work(self) -> Mapping[int, WorkCounts]:
        """The counts of the newest sample, by bucket."""
        return self.slot.history.work

    def scopes(self) -> list[WorkScope]:
        """Return the named buckets of inference that were useful before, then all of inference."""
        inference = self.known.inference
        found = [
            WorkScope(self.known.name(bucket), (bucket,))
            for bucket in inference
            if bucket < NAMED_BUCKETS and self.known.was_useful(bucket)
        ]
        return [*found, WorkScope(ALL_INFERENCE, inference)] if inference else []

    def served(self) -> Distinct:
        """Return the clients that this version and the one before served in the last 15 minutes, well or not."""
        found = EMPTY_SET
        for slot in (self.slot, self.before):
            if slot is not None:
                affected = slot.epochs.since(self.at_ns - SERVED_NS)
                found = found | affected.useful_clients | affected.lost_clients
        return found

    def affected(self, since_ns: int) -> AffectedPeriod:
        """Return who was affected since `since_ns`."""
        return self.slot.epochs.since(since_ns)

    def wait_limit_s(self) -> float | None:
        """Return the largest T of the buckets in which requests wait, else of all of inference; None without either."""
        waiting = [self.limits[bucket] for bucket, counts in self.work.items() if counts.waiting]
        return max(waiting or [self.limits[bucket] for bucket in self.known.inference], default=None)

    @property
    def waits_are_queued(self) -> bool:
        """Whether requests wait, and every bucket in which they wait moves."""
        waiting = {bucket for bucket, counts in self.work.items() if counts.waiting}
        return bool(waiting) and waiting <= self.queued


def work_state(
    slot: SlotWork,
    before: SlotWork | None,
    known: KnownWork,
    rules: Rules,
    probe: ProbeEvidence | None,
    *,
    promoted_at_ns: int,
    accepted: bool,
    first_byte_timeout_s: float,
) -> WorkState:
    """Return the state at the newest sample with work; keeps in `slot` when its buckets moved."""
    at_ns, rule = slot.history.at_ns, rules.hard_failure
    passes = probe is not None and probe.passes
    unknown_s = first_byte_timeout_s if passes else min(first_byte_timeout_s, rule.hang_after_max_s)
    warm = accepted or known.own_useful >= WARM_ANSWERS or (probe is not None and probe.warmed)
    fast = {bucket: known.limit_s(bucket) or unknown_s for bucket in known.own}
    limits = fast if warm or rule.hang_after_s else {b: max(s, rules.warmup_s) for b, s in fast.items()}
    moving = frozenset(b for b in known.own if _moves(slot, before, b, limits[b], promoted_at_ns))
    queued = _queued(slot, moving, first_byte_timeout_s)
    return WorkState(at_ns, promoted_at_ns, accepted, slot, before, known, limits, fast, queued, moving)


def _moves(slot: SlotWork, before: SlotWork | None, bucket: int, limit_s: float, promoted_at_ns: int) -> bool:
    counts, at_ns = slot.history.work[bucket], slot.history.at_ns
    life_ns = max(counts.last_useful_ns, counts.last_moved_ns, at_ns if counts.moving else 0)
    if not life_ns or (life_ns < promoted_at_ns and not counts.moving):
        return False
    means = [slot.movement.mean(bucket)]
    if before is not None and (means[0] is None or at_ns - promoted_at_ns < MEAN_PARTS * PART_NS):
        # A version that fails from its first request on does not show what is normal.
        means.append(before.movement.mean(bucket))
    mean = max((found for found in means if found is not None), default=None)
    found = moves(Movement.now(slot.history, bucket), mean, (at_ns - life_ns) / SECOND_NS, limit_s)
    if found:
        slot.moved_ns[bucket] = life_ns
    return found


def _queued(slot: SlotWork, moving: frozenset[int], first_byte_timeout_s: float) -> frozenset[int]:
    """Return the moving buckets whose waits are a queue; for at most first_byte_timeout_s with waits beyond the limit."""
    at_ns, since = slot.history.at_ns, slot.queued_since_ns
    for bucket, counts in slot.history.work.items():
        if bucket in moving and counts.overdue:
            since.setdefault(bucket, at_ns)
        else:
            since.pop(bucket, None)
    longest_ns = int(first_byte_timeout_s * SECOND_NS)
    return frozenset(bucket for bucket in moving if at_ns - since.get(bucket, at_ns) <= longest_ns)
