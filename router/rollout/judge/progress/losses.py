"""Attempts of some work buckets that ended without use, or wait, since their last useful answer.

They are read from the samples, and nothing is kept between ticks: a restarted control sees what the one before saw. A useful
answer ends the run. Within one sample of a second the order of events is unknown, and the order that is better for the version
is assumed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from router.rollout.judge.progress.known_work import SAMPLES_FEW, sum_ends
from router.rollout.judge.progress.work_state import WorkScope, WorkState
from router.rollout.stats.bounds import lower_bound
from router.rollout.stats.breadth import EXACT_MAX
from router.rollout.stats.work_counts import NO_ENDS
from router.rollout.stats.work_history import WorkPoint, work_between
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd

QUIET_NS: Final = 60 * SECOND_NS
"""A gap of this length without a wait or an end separates two runs."""
RUN_MAX_NS: Final = 300 * SECOND_NS
"""A run is read no further back than this; no limit of a wait needs more than its part within this time."""
FRESH_NS: Final = 10 * SECOND_NS
"""A run whose last event is older than this is ignored."""
THROTTLED_AFTER_S: Final = 60.0
"""Throttled ends count once nothing of a bucket has been under way for this time."""
CHANCE_MAX: Final = 1e-6
"""A run of ends without use is evidence if a well version shows it with less than this probability."""
SHARE_UNKNOWN: Final = 0.9
"""The usual share of useful answers where it is unknown."""
CONFIDENCE: Final = 0.95
CLIENT_KINDS: Final = (WorkEnd.CLIENT_ERROR, WorkEnd.UNAUTHORISED)
VERSION_KINDS: Final = (WorkEnd.FAULT, WorkEnd.EMPTY)


@dataclass(frozen=True, slots=True)
class Losses:
    """A run. `ended`: ends that count against the version, the client errors left out; `left`: the part of them that clients
    ended; `client_errors`: 4xx of buckets that were useful before. `waits`: attempts that wait hang_wait_min_s or longer.
    `requests` and `clients` are distinct ones; None if unknown. `useful_share`: the usual share of useful answers among these
    kinds of ends, without and with client errors (lower bounds).
    """

    ended: int = 0
    left: int = 0
    client_errors: int = 0
    waits: int = 0
    since_ns: int = 0
    until_ns: int = 0
    stalled_ns: int = 0
    requests: int | None = None
    clients: int | None = None
    known_good: int = 0
    useful_share: tuple[float, float] = (SHARE_UNKNOWN, SHARE_UNKNOWN)

    def lasted_s(self, *, with_stalls: bool = False) -> float:
        """Seconds from the first event of the run to the last."""
        return max(self.until_ns - self.since_ns - (0 if with_stalls else self.stalled_ns), 0) / SECOND_NS

    def is_fresh(self, now_ns: int) -> bool:
        """Whether the last event is at most FRESH_NS old."""
        return self.since_ns > 0 and now_ns - self.until_ns <= FRESH_NS

    def is_unlikely(self, ended: int, *, client_errors: bool = False) -> bool:
        """Return whether so many ends without a useful one are no chance of a version that is as well as usual."""
        return (1 - self.useful_share[client_errors]) ** ended <= CHANCE_MAX


def losses(state: WorkState, scope: WorkScope) -> Losses:
    """Return the present run of a scope; empty without one."""
    points = _since_useful(state, scope)
    if len(points) < 2:
        return Losses()
    kinds = _kinds(state, scope, points)
    waiting = frozenset(scope.buckets) - state.queued
    run = _run(points, kinds, waiting)
    if run is None:
        return Losses()
    first, last, stalled_ns = run
    life_ns = max((state.slot.moved_ns.get(bucket, 0) for bucket in scope.buckets), default=0)
    useful_ns = max((state.work[b].last_useful_ns for b in scope.buckets if b in state.work), default=0)
    since_ns = max(points[first].at_ns, useful_ns, life_ns, state.promoted_at_ns)
    counted = _counted(points[first], points[-1], kinds)
    requests, clients, known_good = _distinct(state, scope, since_ns)
    return Losses(
        ended=counted[0],
        left=counted[1],
        client_errors=counted[2],
        waits=sum(state.work[b].waiting_long for b in waiting if b in state.work),
        since_ns=since_ns,
        until_ns=points[last].at_ns,
        stalled_ns=stalled_ns,
        requests=requests,
        clients=clients,
        known_good=known_good,
        useful_share=_usual(state, kinds, points[first]),
    )


Kinds = dict[int, tuple[tuple[WorkEnd, ...], tuple[WorkEnd, ...]]]
"""By bucket: the ends that count against the version, and the client errors that count."""


def _since_useful(state: WorkState, scope: WorkScope) -> Sequence[WorkPoint]:
    """Return the points from the newest one whose second had a useful answer."""
    points = state.slot.history.points(state.at_ns - RUN_MAX_NS, state.promoted_at_ns)
    for index in range(len(points) - 1, 0, -1):
        newer, older = points[index].totals, points[index - 1].totals
        if any(newer.get(b, (0,))[0] > older.get(b, (0,))[0] for b in scope.buckets):
            return points[index:]
    return points


def _kinds(state: WorkState, scope: WorkScope, points: Sequence[WorkPoint]) -> Kinds:
    buckets = frozenset(scope.buckets)
    busy_ns = next((point.at_ns for point in reversed(points) if point.busy & buckets), points[0].at_ns)
    throttled = (WorkEnd.THROTTLED,) if state.at_ns - busy_ns >= THROTTLED_AFTER_S * SECOND_NS else ()
    found: Kinds = {}
    for bucket in scope.buckets:
        left = () if bucket in state.queued else (WorkEnd.GONE_LATE,)
        named = bucket in state.known.buckets and state.known.was_useful(bucket)
        found[bucket] = ((*VERSION_KINDS, *left, *throttled), CLIENT_KINDS if named else ())
    return found


def _run(points: Sequence[WorkPoint], kinds: Kinds, waiting: Collection[int]) -> tuple[int, int, int] | None:
    """Return (index of the point before the first event, of the last event, stalled time in between); None without events."""
    first = last = stalled_ns = 0
    found = False
    for index in range(1, len(points)):
        base, point = points[index - 1], points[index]
        if not (point.waiting & frozenset(waiting)) and not any(_counted(base, point, kinds)):
            continue
        if not found or point.at_ns - points[last].at_ns > QUIET_NS:
            first, stalled_ns, found = index - 1, 0, True
        last = index
    if found:
        pairs = zip(points[first:last], points[first + 1 : last + 1], strict=True)
        stalled_ns = sum(point.at_ns - base.at_ns for base, point in pairs if point.stalled)
    return (first, last, stalled_ns) if found else None


def _counted(base: WorkPoint, point: WorkPoint, kinds: Kinds) -> tuple[int, int, int]:
    """Return (ends against the version, the part of them that clients ended, client errors) between two points."""
    ended = left = errors = 0
    for bucket, (against, client_errors) in kinds.items():
        if point.totals.get(bucket) == base.totals.get(bucket):
            continue
        ends = work_between(base, point, (bucket,)).ends
        ended += sum(ends[kind] for kind in against)
        left += ends[WorkEnd.GONE_LATE] if WorkEnd.GONE_LATE in against else 0
        errors += sum(ends[kind] for kind in client_errors)
    return ended, left, errors


def _distinct(state: WorkState, scope: WorkScope, since_ns: int) -> tuple[int | None, int | None, int]:
    """Return (distinct requests, distinct clients, requests that were useful before) of a run; None: unknown."""
    counts = [state.work[bucket] for bucket in scope.buckets if bucket in state.work]
    requests = len(frozenset().union(*(part.lost_requests for part in counts)))
    clients = len(frozenset().union(*(part.lost_clients for part in counts)))
    affected = state.affected(since_ns)
    if affected.lost_requests.sketch:
        requests = _fewer(requests, affected.lost_requests.count)
        clients = _fewer(clients, affected.lost_clients.count)
    return requests or None, clients or None, sum(part.known_good for part in counts)


def _fewer(named: int, in_epochs: int) -> int:
    """Return the smaller of two counts of distinct values. The first one ends at EXACT_MAX, 0 means that it is unknown.

    Fingerprints of the work row are those since the last useful answer of the bucket; epochs hold whole ten seconds.
    """
    return in_epochs if not named or named >= EXACT_MAX else min(named, in_epochs)


def _usual(state: WorkState, kinds: Kinds, first: WorkPoint) -> tuple[float, float]:
    """Return the lower bounds of the usual share of useful answers, without and with client errors."""
    buckets = list(kinds)
    earlier = [ends for bucket in buckets if (ends := state.known.earlier_ends(bucket)) is not NO_ENDS]
    ends = sum_ends(earlier or [first.totals.get(bucket, NO_ENDS)[: len(NO_ENDS)] for bucket in buckets])
    against = (*VERSION_KINDS, WorkEnd.GONE_LATE, WorkEnd.THROTTLED)
    found = [usual_share(ends, kept) for kept in (against, (*against, *CLIENT_KINDS))]
    return found[0] or SHARE_UNKNOWN, found[1] or SHARE_UNKNOWN


def usual_share(ends: tuple[int, ...], against: Collection[WorkEnd]) -> float | None:
    """Return the lower bound of useful ÷ (useful + ends of these kinds); None with fewer than SAMPLES_FEW useful answers."""
    useful = ends[WorkEnd.USEFUL]
    if useful < SAMPLES_FEW:
        return None
    return lower_bound(useful, useful + sum(ends[kind] for kind in against), CONFIDENCE)
