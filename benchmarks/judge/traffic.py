"""Arrivals of requests: independent flows at a rate, with clients, bodies, patience and retries."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from benchmarks.judge.answers import NEVER

CHAT: Final = "POST /v1/chat/completions"
MODELS: Final = "GET /v1/models"


@dataclass(frozen=True, slots=True)
class Flow:
    """One arrival process (Poisson, or with `regular` evenly spaced) from `since_s` to `until_s`.

    `bodies` different requests come from `clients` different addresses. A client leaves when nothing useful has come after
    `patience_s`; after a fault it repeats its request up to `retries` times, `retry_s` later. `first` is the number of the first
    client: flows with the same numbers share clients. `poison`: the version's model may treat these requests differently.
    """

    per_s: float
    bucket: str = CHAT
    clients: int = 8
    bodies: int = 1000
    patience_s: float = 30.0
    since_s: float = 0.0
    until_s: float = NEVER
    regular: bool = False
    retries: int = 0
    retry_s: float = 0.5
    first: int = 0
    poison: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """One request as it arrives, `at_s` seconds after the start. `client` and `body` are fingerprints."""

    at_s: float
    flow: Flow
    client: int
    body: int
    retries: int


def fingerprint(*parts: object) -> int:
    """Return a fingerprint of these parts, never 0, the same in each process."""
    return Random(repr(parts)).getrandbits(64) or 1


class Arrivals:
    """The requests of all flows in the order of their arrival."""

    def __init__(self, flows: tuple[Flow, ...], random: Random) -> None:
        self._random = random
        self._heap: list[tuple[float, int, Flow, Query | None]] = []
        self._count = 0
        self._clients: dict[int, int] = {}
        self._bodies: dict[tuple[str, int, int], int] = {}
        for flow in flows:
            if flow.per_s > 0:
                self._push(flow.since_s + self._pause_s(flow), flow, None)

    def until(self, at_s: float) -> Iterator[Query]:
        """Yield the requests that arrive before `at_s`."""
        while self._heap and self._heap[0][0] < at_s:
            due_s, _, flow, repeated = heapq.heappop(self._heap)
            if repeated is not None:
                yield Query(due_s, flow, repeated.client, repeated.body, repeated.retries - 1)
                continue
            if due_s < flow.until_s:
                self._push(due_s + self._pause_s(flow), flow, None)
                yield self._query(due_s, flow)

    def repeat(self, query: Query, at_s: float) -> None:
        """Let the client of `query` send it again at `at_s`."""
        self._push(at_s, query.flow, query)

    def _push(self, at_s: float, flow: Flow, repeated: Query | None) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at_s, self._count, flow, repeated))

    def _pause_s(self, flow: Flow) -> float:
        return 1 / flow.per_s if flow.regular else self._random.expovariate(flow.per_s)

    def _query(self, at_s: float, flow: Flow) -> Query:
        client = flow.first + int(self._random.random() * flow.clients)
        body = int(self._random.random() * flow.bodies)
        key = (flow.bucket, flow.first, body)
        if client not in self._clients:
            self._clients[client] = fingerprint("client", client)
        if key not in self._bodies:
            self._bodies[key] = fingerprint("body", *key)
        return Query(at_s, flow, self._clients[client], self._bodies[key], flow.retries)
