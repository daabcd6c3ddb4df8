"""The method and path template of a request, and the work bucket that it counts in (rollout/work.py).

The translation of a head holds the `WorkPath`, so that finding the bucket costs nothing for a head that is repeated. A claim
reads `offset`, and all that the attempt comes to is counted there, also if the path gets another bucket meanwhile.

A path without a bucket counts as `other`. Once an answer to it was useful, the worker proposes it, and control adds it to the
work table (shm/work_table.py); `WorkPaths.refresh` sees that and gives the path its bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.rollout.work import NAMED_BUCKETS, OTHER, OTHER_INFERENCE, WORK_BUCKETS
from router.rollout.work_paths import InferenceRules, bucket_name, has_known_answers
from router.shm import layout as at
from router.shm.work_table import ClaimCell, WorkTable

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.options import InferenceOptions

PATHS_MAX: Final = 512
"""Templates that a worker remembers of one service. If there are more, those without a bucket are forgotten."""
PROPOSE_EVERY_S: Final = 1.0
"""The cell holds one proposal, and control reads it more often than this."""
_L_WORK: Final = at.L_WORK
_WORK_WORDS: Final = at.WORK_WORDS
MEDIAN_UNKNOWN_S: Final = 1.0
"""A client that leaves later than this has waited long, while the median time to useful of its bucket is unknown."""


class WorkPath:
    """Method and path template. `offset`: where the work row begins in a slot row; `protocol`: its answers have the form of a
    known protocol; `streams`: an event stream is useful at its head (GET); `median_s`: its usual time to useful;
    `propose_after_s`: not proposed before.
    """

    def __init__(self, name: str, inference: bool) -> None:
        self.name = name
        self.inference = inference
        self.protocol = has_known_answers(name)
        self.streams = name.startswith("GET ")
        self.median_s = MEDIAN_UNKNOWN_S
        self.propose_after_s = 0.0
        self.bucket = 0
        self.offset = 0
        self.assign(OTHER_INFERENCE if inference else OTHER)

    def __repr__(self) -> str:
        return f"<WorkPath {self.name!r} in bucket {self.bucket}>"

    def assign(self, bucket: int) -> None:
        """Count in this bucket from now on."""
        self.bucket = bucket
        self.offset = _L_WORK + bucket * _WORK_WORDS


class WorkPaths:
    """The paths of one service in one worker."""

    def __init__(self, context: WorkerContext, service: int, options: InferenceOptions) -> None:
        self._table = WorkTable(context.segment, service)
        self._cell = ClaimCell(context.segment, context.index, service)
        self._rules = InferenceRules(options.paths, options.not_paths)
        self._paths: dict[str, WorkPath] = {}
        self._buckets: dict[str, int] = {}
        self._sequence = 0
        self._propose_after_s = 0.0

    def reconfigure(self, options: InferenceOptions) -> None:
        """Apply changed rules. The caller empties the caches of heads, which hold the paths."""
        self._rules = InferenceRules(options.paths, options.not_paths)
        self._paths.clear()

    def find(self, method: bytes, path: bytes) -> WorkPath:
        """Return the path of a request; `path` has no query."""
        name = bucket_name(method.decode("latin-1"), path.decode("latin-1"))
        found = self._paths.get(name)
        if found is None:
            if len(self._paths) >= PATHS_MAX:
                self._paths = {name: path for name, path in self._paths.items() if path.bucket < NAMED_BUCKETS}
            found = self._paths[name] = WorkPath(name, self._rules.is_inference(name))
            self._assign(found)
        return found

    def _assign(self, path: WorkPath) -> None:
        path.assign(self._buckets.get(path.name, OTHER_INFERENCE if path.inference else OTHER))

    def propose(self, path: WorkPath, now_s: float) -> None:
        """Propose a bucket for a path that has none: an answer to it was useful."""
        path.propose_after_s = now_s + PROPOSE_EVERY_S
        if now_s < self._propose_after_s:
            return
        self._propose_after_s = now_s + PROPOSE_EVERY_S
        if path.name in self._buckets:  # `find` has forgotten the path, and a cached head still has it
            self._assign(path)
        else:
            self._cell.propose(path.name)

    def refresh(self) -> None:
        """Adopt the names of the work table if they have changed."""
        sequence = self._table.sequence
        if sequence == self._sequence or (entries := self._table.read()) is None:
            return
        self._sequence = sequence
        self._buckets = {entry.name: bucket for bucket, entry in entries.items() if bucket < NAMED_BUCKETS}
        for path in self._paths.values():
            self._assign(path)

    def read_times(self) -> list[int]:
        """Take over the known medians; return when a wait of each bucket is overdue, µs, 0: unknown."""
        times = [self._table.times(bucket) for bucket in range(WORK_BUCKETS)]
        for path in self._paths.values():
            median_us = times[path.bucket][1]
            path.median_s = median_us / 1e6 if median_us else MEDIAN_UNKNOWN_S
        return [overdue_us for overdue_us, _ in times]
