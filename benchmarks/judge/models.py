"""Behaviours of versions: a request and the seconds since the version's promotion in, its answer out."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from benchmarks.judge import answers
from benchmarks.judge.answers import Answer
from benchmarks.judge.driver import Model
from benchmarks.judge.traffic import MODELS, Query
from router.rollout.outcome import FAULTS


def steady(low_s: float = 0.05, high_s: float = 0.4) -> Model:
    """Return complete answers after `low_s` to `high_s`."""
    return lambda query, at_s, random: answers.unary(random.uniform(low_s, high_s))


def streaming(low_s: float = 0.1, high_s: float = 0.5, lasts_s: float = 0.5) -> Model:
    """Return event streams with content after `low_s` to `high_s`."""
    return lambda query, at_s, random: answers.stream(random.uniform(low_s, high_s), random.uniform(0, lasts_s))


def always(make: Callable[[], Answer]) -> Model:
    """Return the same answer to all."""
    answer = make()
    return lambda query, at_s, random: answer


def until(at_s: float, first: Model, then: Model) -> Model:
    """Return `first` until `at_s` seconds after the promotion, then `then`."""
    return lambda query, now_s, random: (first if now_s < at_s else then)(query, now_s, random)


def between(since_s: float, until_s: float, inside: Model, outside: Model) -> Model:
    """Return `inside` from `since_s` to `until_s`, `outside` before and after."""
    return lambda query, now_s, random: (inside if since_s <= now_s < until_s else outside)(query, now_s, random)


def share(part: float, some: Model, rest: Model) -> Model:
    """Return `some` for a random part (0 to 1) of the requests, `rest` for the others."""
    return lambda query, at_s, random: (some if random.random() < part else rest)(query, at_s, random)


def poisoned(some: Model, rest: Model) -> Model:
    """Return `some` for the requests of flows marked `poison`."""
    return lambda query, at_s, random: (some if query.flow.poison else rest)(query, at_s, random)


def by_bucket(bucket: str, some: Model, rest: Model) -> Model:
    """Return `some` for the requests of one bucket."""
    return lambda query, at_s, random: (some if query.flow.bucket == bucket else rest)(query, at_s, random)


def alive_server(engine: Model) -> Model:
    """Return 200 to GET /v1/models at once and leave the rest to the engine: a live API server before a dead engine."""
    return by_bucket(MODELS, steady(0.001, 0.003), engine)


class Queue:
    """`slots` requests at a time, each for `lasts_s`; up to `waiting_max` wait, further ones are throttled.

    Of an event stream the head comes at once if `head_first`. Its first content comes `first_s` after it has left the queue.
    """

    def __init__(
        self, slots: int, lasts_s: float, waiting_max: int = 1000, first_s: float = 0.5, *, head_first: bool = False
    ) -> None:
        self._lasts_s, self._first_s = lasts_s, first_s
        self._free = [float("-inf")] * slots
        self._starts: list[float] = []
        self._waiting_max, self._head_first = waiting_max, head_first

    def __call__(self, query: Query, at_s: float, random: Random) -> Answer:
        while self._starts and self._starts[0] <= at_s:
            heapq.heappop(self._starts)
        if len(self._starts) >= self._waiting_max:
            return answers.throttled()
        start_s = max(at_s, heapq.heappop(self._free))
        heapq.heappush(self._free, start_s + self._lasts_s)
        heapq.heappush(self._starts, start_s)
        wait_s = start_s - at_s
        first_s = wait_s + min(self._first_s, self._lasts_s)
        head_s = 0.01 if self._head_first else first_s
        return answers.stream(first_s, self._lasts_s - min(self._first_s, self._lasts_s), head_s)


class Batch:
    """An engine that answers its first `first` requests after `slow_s` each: it compiles kernels and fills caches."""

    def __init__(self, first: int, slow_s: float, rest: Model) -> None:
        self._left, self._slow_s, self._rest = first, slow_s, rest

    def __call__(self, query: Query, at_s: float, random: Random) -> Answer:
        if self._left:
            self._left -= 1
            return answers.unary(self._slow_s)
        return self._rest(query, at_s, random)


class Replicas:
    """`number` endpoints, of which the first `bad` behave as `fault` from `since_s` on; chosen and ejected as workers do it.

    Of two endpoints at random the one with less in flight, recent faults included, takes the request. After 5 faults in a row, or
    3 waits beyond `limit_s`, an endpoint rests for 5 s, then twice as long; never more than half of them rest. Its faults of the
    minute before are set aside then, as long as no more endpoints are bad than may rest.
    """

    def __init__(
        self, number: int, bad: int, fault: Model, well: Model, since_s: float = 0.0, limit_s: float = 10.0
    ) -> None:
        self._well, self._fault, self._bad, self._since_s, self._limit_s = well, fault, bad, since_s, limit_s
        self._ends: list[list[float]] = [[] for _ in range(number)]
        self._overdue: list[list[float]] = [[] for _ in range(number)]
        self._faults = [0] * number
        self._out_until_s = [float("-inf")] * number
        self._times_out = [0] * number
        self._fault_times: list[list[float]] = [[] for _ in range(number)]
        self._aside: list[float] = []

    def __call__(self, query: Query, at_s: float, random: Random) -> Answer:
        chosen = self._choose(at_s, random)
        model = self._fault if chosen < self._bad and at_s >= self._since_s else self._well
        answer = model(query, at_s, random)
        ended_s = min(answer.ended_s, query.flow.patience_s)
        heapq.heappush(self._ends[chosen], at_s + ended_s)
        if min(answer.useful_s, ended_s) > self._limit_s:
            self._overdue[chosen].append(at_s + self._limit_s)
        if answer.outcome in FAULTS:
            self._fault_times[chosen].append(at_s + ended_s)
            if self._out_until_s[chosen] > at_s:
                self._set_aside(chosen, at_s)
        self._faults[chosen] = 0 if answer.useful_s <= ended_s else self._faults[chosen] + 1
        if self._faults[chosen] >= 5 and ended_s < self._limit_s:
            self._eject(chosen, at_s)
        return answer

    def _choose(self, at_s: float, random: Random) -> int:
        for number, ends in enumerate(self._ends):
            while ends and ends[0] <= at_s:
                heapq.heappop(ends)
            if sum(due_s <= at_s for due_s in self._overdue[number]) >= 3:
                self._overdue[number].clear()
                self._eject(number, at_s)
        usable = [number for number in range(len(self._ends)) if self._out_until_s[number] <= at_s]
        one, other = random.choice(usable), random.choice(usable)
        return min(one, other, key=lambda number: len(self._ends[number]) + self._faults[number])

    def _eject(self, number: int, at_s: float) -> None:
        out = sum(until_s > at_s for until_s in self._out_until_s)
        if out < len(self._ends) // 2 and self._out_until_s[number] <= at_s:
            self._out_until_s[number] = at_s + min(5.0 * 2 ** self._times_out[number], 60.0)
            self._times_out[number] += 1
            self._faults[number] = 0
            self._set_aside(number, at_s)

    def set_aside(self, at_s: float) -> int:
        """Return the faults that do not count against the version at `at_s`."""
        return sum(since_s <= at_s for since_s in self._aside)

    def _set_aside(self, number: int, at_s: float) -> None:
        if self._bad <= len(self._ends) // 2:
            self._aside += [max(at_s, fault_s) for fault_s in self._fault_times[number] if fault_s > at_s - 60]
        self._fault_times[number].clear()
