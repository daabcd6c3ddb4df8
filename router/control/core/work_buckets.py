"""The work buckets of one service: names that workers have proposed, which of them are inference, and their known times.

A worker proposes the method and path template of a useful answer; control gives it the next free number. A number keeps its name
for as long as the router runs, because the workers' rows count by number. Names of the baseline come first, so that a version is
compared with its predecessor from its first answer on. Paths that need no engine may have CHEAP_MAX names, so that they leave
room for inference; what has no name counts in the two buckets of all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from router.rollout.stats.work_counts import WorkBucket, WorkCounts
from router.rollout.work import NAMED_BUCKETS, OTHER, OTHER_INFERENCE
from router.rollout.work_paths import CHEAP_METHODS, InferenceRules
from router.shm.segment import Segment
from router.shm.work_table import ClaimCell, WorkEntry, WorkTable

CHEAP_MAX: Final = 4
OTHERS: Final[Mapping[int, WorkBucket]] = {
    OTHER_INFERENCE: WorkBucket("other inference", inference=True),
    OTHER: WorkBucket("other requests", inference=False),
}
"""The buckets of requests without a bucket of their own."""
KnownTimes = Mapping[int, tuple[float | None, float | None]]
"""(Limit of a wait, median time to useful) in seconds by bucket; None: unknown."""


class WorkBuckets:
    """Service number `index` of the segment. Names that an earlier control has left in shared memory are kept."""

    def __init__(self, segment: Segment, index: int, rules: InferenceRules, known: Iterable[str] = ()) -> None:
        """`known`: names of the baseline."""
        self._table = WorkTable(segment, index)
        self._cells = [ClaimCell(segment, worker, index) for worker in range(segment.layout.workers)]
        self._taken = [0] * len(self._cells)
        self._rules = rules
        self._gets_only = False
        left = self._table.left()
        self._names = {bucket: left[bucket].name for bucket in sorted(left) if bucket < NAMED_BUCKETS}
        self.buckets: Mapping[int, WorkBucket] = OTHERS
        """All buckets that have a name, by number."""
        for name in known:
            self._add(name)
        self._write()

    def reconfigure(self, rules: InferenceRules) -> None:
        """Decide by other rules which buckets are inference."""
        self._rules = rules
        self._write()

    def update(self, work: Mapping[int, WorkCounts], times: KnownTimes) -> None:
        """Take the workers' proposals, and write the known times for them; once a second.

        `work` is the work of the active version since it filled its slot. GETs are inference only as long as there is nothing
        else: no bucket of another method, and no request of another method without a bucket.
        """
        before = self._names.copy(), self._gets_only
        for number, cell in enumerate(self._cells):
            claim = cell.read()
            if claim is not None and claim[0] != self._taken[number]:
                self._taken[number] = claim[0]
                self._add(claim[1])
        other = work.get(OTHER_INFERENCE)
        methods = {name.partition(" ")[0] for name in self._names.values()}
        self._gets_only = bool(methods) and methods <= CHEAP_METHODS and (other is None or not other.asked)
        if (self._names, self._gets_only) != before:
            self._write()
        for bucket in self.buckets:
            overdue_s, median_s = times.get(bucket, (None, None))
            self._table.write_times(bucket, round((overdue_s or 0) * 1e6), round((median_s or 0) * 1e6))

    def _add(self, name: str) -> None:
        """Give a name the next free number, if there is one for its kind."""
        if name in self._names.values() or " " not in name or name in (bucket.name for bucket in OTHERS.values()):
            return
        free = next((bucket for bucket in range(NAMED_BUCKETS) if bucket not in self._names), None)
        cheap = [known for known in self._names.values() if not self._rules.is_inference(known)]
        if free is not None and (self._rules.is_inference(name) or len(cheap) < CHEAP_MAX):
            self._names[free] = name

    def _write(self) -> None:
        named = {bucket: WorkBucket(name, self._is_inference(name)) for bucket, name in self._names.items()}
        self.buckets = {**named, **OTHERS}
        self._table.write({bucket: WorkEntry(one.name, one.inference) for bucket, one in self.buckets.items()})

    def _is_inference(self, name: str) -> bool:
        if self._gets_only:
            name = f"POST {name.partition(' ')[2]}"  # the method says nothing here, the path still does
        return self._rules.is_inference(name)
