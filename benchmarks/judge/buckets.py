"""The work buckets of a modelled service: claimed by the first useful answer, named from the next second on."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from router.rollout.stats.work_counts import WorkBucket
from router.rollout.work import NAMED_BUCKETS, OTHER, OTHER_INFERENCE

NOT_INFERENCE = ("GET ", "HEAD ", "OPTIONS ")
SAMPLED_MAX = 16
"""Requests kept a bucket that are known to have been useful: one a second, the newest 16."""


class Buckets:
    """Names of buckets by number, and requests that were useful in them."""

    def __init__(self, names: tuple[str, ...] = (), cheap: frozenset[str] = frozenset()) -> None:
        self._cheap = cheap
        self._numbers = {name: number for number, name in enumerate(names[:NAMED_BUCKETS])}
        self._claimed: list[str] = []
        self._useful: dict[int, deque[int]] = {}
        self._sampled_s: dict[int, int] = {}
        self._table = self._read()

    def number(self, name: str) -> int:
        """Return the bucket in which a request of this name counts now."""
        found = self._numbers.get(name)
        if found is not None:
            return found
        return OTHER_INFERENCE if self._infers(name) else OTHER

    def useful(self, name: str, number: int, body: int, at_s: int) -> None:
        """Note a useful answer: it claims a bucket, and one request a second is remembered."""
        if number >= NAMED_BUCKETS and name not in self._claimed:
            self._claimed.append(name)
        if self._sampled_s.get(number) != at_s:
            self._sampled_s[number] = at_s
            self._useful.setdefault(number, deque(maxlen=SAMPLED_MAX)).append(body)

    def was_useful(self, number: int, body: int) -> bool:
        """Whether this request is known to have been useful."""
        return body in self._useful.get(number, ())

    def settle(self) -> None:
        """Give the claimed names their numbers; once a second."""
        if not self._claimed:
            return
        for name in self._claimed:
            if name not in self._numbers and len(self._numbers) < NAMED_BUCKETS:
                self._numbers[name] = len(self._numbers)
        self._claimed.clear()
        self._table = self._read()

    def table(self) -> Mapping[int, WorkBucket]:
        """Return the buckets by number, as the judge gets them."""
        return self._table

    def is_inference(self, number: int) -> bool:
        """Whether a bucket counts as inference."""
        found = self._table.get(number)
        return number == OTHER_INFERENCE if found is None else found.inference

    def _read(self) -> Mapping[int, WorkBucket]:
        return {number: WorkBucket(name, self._infers(name)) for name, number in self._numbers.items()}

    def _infers(self, name: str) -> bool:
        return not name.startswith(NOT_INFERENCE) and name not in self._cheap
