"""One slot: counts attempts as the workers do, and yields the samples that control takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.judge.buckets import Buckets
from router.rollout.outcome import FAULTS, OUTCOMES, Outcome
from router.rollout.stats.breadth import Distinct, Epoch
from router.rollout.stats.histogram import BUCKETS, index
from router.rollout.stats.sample import Sample
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.units import SECOND_NS
from router.rollout.work import TIME_CELLS, WORK_ENDS, WorkEnd, time_cell

LONG_NS: Final = SECOND_NS
"""A wait of this length is long (hang_wait_min_s)."""
EPOCH_NS: Final = 10 * SECOND_NS
LOST_MAX: Final = 4
MEDIAN_UNKNOWN_S: Final = 1.0


@dataclass(eq=False, slots=True)
class Attempt:
    """One attempt with all that will happen to it; times are monotonic nanoseconds, None: never."""

    at_ns: int
    name: str
    client: int
    body: int
    begun_ns: int | None
    useful_ns: int | None
    ended_ns: int | None
    outcome: Outcome
    end: WorkEnd
    progresses: bool
    streams: bool
    bucket: int = 0
    is_useful: bool = False

    @property
    def gone(self) -> bool:
        """Whether its client ends the wait."""
        return self.end in (WorkEnd.GONE_EARLY, WorkEnd.GONE_LATE)


class _Bucket:
    """The counters of one work bucket, and what is open in it."""

    def __init__(self) -> None:
        self.ends = [0] * len(WORK_ENDS)
        self.asked = self.late_faults = 0
        self.last_useful_ns = self.last_moved_ns = self.fault_ns = 0
        self.lost: dict[int, bool] = {}
        self.lost_clients: dict[int, None] = {}
        self.times = [0] * TIME_CELLS
        self.waiting: dict[Attempt, None] = {}
        self.progressing: dict[Attempt, None] = {}
        self.moving: dict[Attempt, None] = {}


class _Epoch:
    """Who was affected in ten seconds."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.faults = self.lost = 0
        self.known_good: set[int] = set()
        self.fault_requests: dict[int, None] = {}
        self.fault_clients: dict[int, None] = {}
        self.lost_requests: dict[int, None] = {}
        self.lost_clients: dict[int, None] = {}
        self.useful_clients: dict[int, None] = {}
        self.unaffected_clients: dict[int, None] = {}

    def read(self) -> Epoch:
        return Epoch(
            number=self.number,
            faults=self.faults,
            lost=self.lost,
            known_good=len(self.known_good),
            fault_requests=Distinct.of(self.fault_requests),
            fault_clients=Distinct.of(self.fault_clients),
            lost_requests=Distinct.of(self.lost_requests),
            lost_clients=Distinct.of(self.lost_clients),
            useful_clients=Distinct.of(self.useful_clients),
            unaffected_clients=Distinct.of(self.unaffected_clients),
        )


class Slot:
    """Counters of one version in one slot; `claim`, `begin`, `use` and `end` are the events of an attempt."""

    def __init__(self, buckets: Buckets, incarnation: int = 1) -> None:
        self.incarnation = incarnation
        self.pairs_well = self.pairs_failed = self.rescued = self.set_aside = 0
        self._buckets = buckets
        self._claimed = self._begun = self._unbegun = self._abandoned_long = self._last_begun_ns = 0
        self._outcomes = [0] * len(OUTCOMES)
        self._times = [[0] * BUCKETS for _ in range(4)]
        self._waiting: dict[Attempt, None] = {}
        self._long: dict[Attempt, None] = {}
        self._work: dict[int, _Bucket] = {}
        self._epochs: list[_Epoch] = []
        self._limits: dict[int, float] = {}
        self._medians: dict[int, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether an attempt is open."""
        return self._claimed > sum(self._outcomes)

    @property
    def last_useful_ns(self) -> int:
        """Time of the newest useful inference answer; 0: none."""
        found = (work.last_useful_ns for bucket, work in self._work.items() if self._buckets.is_inference(bucket))
        return max(found, default=0)

    # -- the events of an attempt
    def claim(self, attempt: Attempt) -> None:
        """Count an attempt that is sent."""
        attempt.bucket = self._buckets.number(attempt.name)
        bucket = self._bucket(attempt.bucket)
        self._claimed += 1
        bucket.asked += 1
        self._waiting[attempt] = None
        bucket.waiting[attempt] = None

    def begin(self, attempt: Attempt) -> None:
        """Count a final head below 500."""
        at_ns = attempt.begun_ns or 0
        self._begun += 1
        self._last_begun_ns = at_ns
        self._times[0][index((at_ns - attempt.at_ns) // 1000)] += 1
        self._stop_waiting(attempt)
        if attempt.progresses:
            bucket = self._bucket(attempt.bucket)
            bucket.waiting.pop(attempt, None)
            bucket.progressing[attempt] = None

    def answer(self, attempt: Attempt) -> None:
        """Count a complete useful answer without events in between: `begin`, `use` and `end` in one."""
        at_ns, bucket = attempt.ended_ns or 0, self._work[attempt.bucket]
        micros = (at_ns - attempt.at_ns) // 1000
        cell = index(micros)
        self._begun += 1
        self._last_begun_ns = bucket.last_useful_ns = at_ns
        self._outcomes[Outcome.OK] += 1
        self._times[0][cell] += 1
        self._times[1][cell] += 1
        self._times[3][cell] += 1
        del self._waiting[attempt], bucket.waiting[attempt]
        bucket.ends[WorkEnd.USEFUL] += 1
        bucket.times[time_cell(micros)] += 1
        self._note_useful(bucket, attempt, at_ns)

    def use(self, attempt: Attempt) -> None:
        """Count the first useful byte."""
        at_ns, bucket = attempt.useful_ns or 0, self._bucket(attempt.bucket)
        micros = (at_ns - attempt.at_ns) // 1000
        attempt.is_useful = True
        bucket.ends[WorkEnd.USEFUL] += 1
        bucket.times[time_cell(micros)] += 1
        self._times[3][index(micros)] += 1
        bucket.last_useful_ns = at_ns
        self._close_work(bucket, attempt)
        if attempt.streams:
            bucket.moving[attempt] = None
        self._note_useful(bucket, attempt, at_ns)

    def end(self, attempt: Attempt) -> None:
        """Count the end of an attempt."""
        at_ns, bucket = attempt.ended_ns or 0, self._bucket(attempt.bucket)
        waited_ns = at_ns - attempt.at_ns
        begun = attempt.begun_ns is not None
        self._outcomes[attempt.outcome] += 1
        self._stop_waiting(attempt)
        if begun and attempt.outcome is Outcome.OK:
            self._times[1][index(waited_ns // 1000)] += 1
        if not begun and (attempt.outcome in (Outcome.CLIENT_GONE, Outcome.TIMED_OUT)):
            self._times[2][index(waited_ns // 1000)] += 1
            self._abandoned_long += attempt.outcome is Outcome.CLIENT_GONE and waited_ns >= LONG_NS
        self._unbegun += not begun and attempt.outcome in FAULTS
        if attempt.streams and attempt.is_useful:
            bucket.last_moved_ns = at_ns
        self._close_work(bucket, attempt)
        if attempt.outcome in FAULTS:
            self._fault(bucket, attempt, at_ns)
        if not attempt.is_useful:
            bucket.ends[self._end_of(attempt, waited_ns)] += 1
            self._lose(bucket, attempt, at_ns)

    def become_long(self, attempt: Attempt) -> None:
        """Count a wait that has lasted hang_wait_min_s."""
        if attempt in self._waiting:
            self._long[attempt] = None
        bucket = self._bucket(attempt.bucket)
        if attempt in bucket.waiting:
            epoch = self._epoch(attempt.at_ns + LONG_NS)
            epoch.lost_requests[attempt.body] = None
            epoch.lost_clients[attempt.client] = None
            self._note_lost(bucket, attempt)

    # -- samples
    def sample(self, at_ns: int, role: int, *, full: bool) -> Sample:
        """Return the sample at `at_ns`; with `full` also histograms, work and epochs."""
        times = [tuple(cells) for cells in self._times] if full else [None] * 4
        oldest = next(iter(self._waiting), None)
        return Sample(
            at_ns,
            self.incarnation,
            1,
            role,
            self._claimed,
            self._begun,
            self._unbegun,
            tuple(self._outcomes),
            self.rescued,
            self._abandoned_long,
            len(self._waiting),
            len(self._long),
            oldest.at_ns if oldest else 0,
            self._last_begun_ns,
            first_byte=times[0],
            duration=times[1],
            abandoned=times[2],
            first_useful=times[3],
            work={number: self._counts(at_ns, number) for number in sorted(self._work)} if full else None,
            epochs=tuple(epoch.read() for epoch in self._epochs[-2:]) if full else (),
            pairs_well=self.pairs_well,
            pairs_failed=self.pairs_failed,
            set_aside=self.set_aside,
        )

    def learn(self, known: Mapping[int, tuple[float | None, float | None]]) -> None:
        """Take the limits and medians (seconds) of the buckets, as workers read them from the work table."""
        self._limits = {number: limit for number, (limit, _) in known.items() if limit is not None}
        self._medians = {number: median for number, (_, median) in known.items() if median is not None}

    def _counts(self, at_ns: int, number: int) -> WorkCounts:
        bucket = self._work[number]
        limit_s, overdue, long = self._limits.get(number), 0, 0
        for attempt in bucket.waiting:
            waited_ns = at_ns - attempt.at_ns
            if waited_ns < LONG_NS:
                break
            long += 1
            overdue += limit_s is not None and waited_ns > limit_s * SECOND_NS
        moving = len(bucket.moving) + len(bucket.progressing)
        if moving:
            bucket.last_moved_ns = at_ns
        oldest = next(iter(bucket.waiting), None)
        return WorkCounts(
            ends=tuple(bucket.ends),
            asked=bucket.asked,
            late_faults=bucket.late_faults,
            known_good=sum(bucket.lost.values()),
            in_progress=len(bucket.progressing),
            waiting=len(bucket.waiting),
            waiting_long=long,
            overdue=overdue,
            oldest_wait_ns=oldest.at_ns if oldest else 0,
            last_useful_ns=bucket.last_useful_ns,
            moving=moving,
            last_moved_ns=bucket.last_moved_ns,
            lost_requests=frozenset(bucket.lost),
            lost_clients=frozenset(bucket.lost_clients),
            times=tuple(bucket.times),
        )

    # -- parts of the events
    def _bucket(self, number: int) -> _Bucket:
        found = self._work.get(number)
        if found is None:
            found = self._work[number] = _Bucket()
        return found

    def _epoch(self, at_ns: int) -> _Epoch:
        number = at_ns // EPOCH_NS
        if not self._epochs or self._epochs[-1].number != number:
            self._epochs = [*self._epochs[-1:], _Epoch(number)]
        return self._epochs[-1]

    def _note_useful(self, bucket: _Bucket, attempt: Attempt, at_ns: int) -> None:
        if bucket.lost:
            bucket.lost.clear()
            bucket.lost_clients.clear()
        self._buckets.useful(attempt.name, attempt.bucket, attempt.body, at_ns // SECOND_NS)
        epoch = self._epoch(at_ns)
        epoch.useful_clients[attempt.client] = None
        if bucket.fault_ns and bucket.fault_ns // EPOCH_NS >= epoch.number - 1:
            epoch.unaffected_clients[attempt.client] = None

    def _stop_waiting(self, attempt: Attempt) -> None:
        self._waiting.pop(attempt, None)
        self._long.pop(attempt, None)

    def _close_work(self, bucket: _Bucket, attempt: Attempt) -> None:
        bucket.waiting.pop(attempt, None)
        bucket.progressing.pop(attempt, None)
        bucket.moving.pop(attempt, None)

    def _end_of(self, attempt: Attempt, waited_ns: int) -> WorkEnd:
        if not attempt.gone:
            return attempt.end
        median_s = self._medians.get(attempt.bucket, MEDIAN_UNKNOWN_S)
        return WorkEnd.GONE_LATE if waited_ns >= median_s * SECOND_NS else WorkEnd.GONE_EARLY

    def _fault(self, bucket: _Bucket, attempt: Attempt, at_ns: int) -> None:
        epoch = self._epoch(at_ns)
        bucket.late_faults += attempt.is_useful
        bucket.fault_ns = at_ns
        epoch.faults += 1
        epoch.fault_requests[attempt.body] = None
        epoch.fault_clients[attempt.client] = None
        if self._buckets.was_useful(attempt.bucket, attempt.body):
            epoch.known_good.add(attempt.body)

    def _lose(self, bucket: _Bucket, attempt: Attempt, at_ns: int) -> None:
        epoch = self._epoch(at_ns)
        epoch.lost += 1
        epoch.lost_requests[attempt.body] = None
        epoch.lost_clients[attempt.client] = None
        self._note_lost(bucket, attempt)

    def _note_lost(self, bucket: _Bucket, attempt: Attempt) -> None:
        if attempt.body not in bucket.lost and len(bucket.lost) < LOST_MAX:
            bucket.lost[attempt.body] = self._buckets.was_useful(attempt.bucket, attempt.body)
        if len(bucket.lost_clients) < LOST_MAX:
            bucket.lost_clients[attempt.client] = None
