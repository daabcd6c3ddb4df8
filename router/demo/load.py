"""The demo's clients: they send requests at a fixed rate through the data port, and record the result of each request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from router.demo.model_server import CHAT_MODEL, MODEL
from router.runtime import clock
from router.runtime.tasks import Tasks

_STREAM_EVERY: Final = 20
"""One of this many requests is a token stream; the others are inferences."""
_STREAM_TOKENS: Final = 8
_VARIANTS: Final = 200
"""Different requests. One request that fails says little about a version: the judge wants several different ones."""
_ADDRESSES: Final = tuple(f"127.0.0.{last}" for last in range(2, 8))
"""Addresses of the demo's clients, in turn."""


@dataclass(frozen=True, slots=True)
class RequestResult:
    """How one request ended for its client.

    `kind`: `ok`, `http` (a complete answer with `status` ≥ 400), `cut` (the answer was incomplete), `gave_up` (the client's own
    timeout), `unreachable` (the router did not accept the connection). `version` is the field X-Served-Version. Times are
    monotonic.
    """

    kind: str
    started_ns: int
    ended_ns: int
    status: int | None = None
    version: str | None = None
    first_byte_ns: int | None = None

    def waited_s(self) -> float:
        """Return how long the client waited for the first byte, or until the request ended without one."""
        return ((self.first_byte_ns or self.ended_ns) - self.started_ns) / 1e9


class Load:
    """Starts `requests_per_s` requests a second until `stop`, independent of the results of earlier requests.

    A client gives up after `give_up_after_s`. An answer whose first byte took longer than `late_after_s` is late: it is
    complete, but does not count as healthy. `addresses` are those of the clients; None: the one that the system chooses.
    """

    def __init__(
        self,
        url: str,
        requests_per_s: float,
        give_up_after_s: float,
        late_after_s: float | None = None,
        addresses: Sequence[str | None] = _ADDRESSES,
    ) -> None:
        self._url = url
        self._requests_per_s = requests_per_s
        self._timeout = aiohttp.ClientTimeout(total=give_up_after_s)
        self._late_after_s = late_after_s
        self._addresses = addresses
        self._tasks = Tasks()
        self._stopped = asyncio.Event()
        self.started = 0
        self.results: list[RequestResult] = []

    async def run(self) -> None:
        """Send until `stop`; return when the last request has ended."""
        async with AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(self._session(address)) for address in self._addresses]
            began_s = clock.now_s()
            while not self._stopped.is_set():
                self.started += 1
                session = sessions[self.started % len(sessions)]
                self._tasks.spawn(self._request(session, self.started), f"demo request {self.started}")
                await asyncio.sleep(max(0.0, began_s + self.started / self._requests_per_s - clock.now_s()))
            while len(self._tasks):
                await asyncio.sleep(0.02)

    def _session(self, address: str | None) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, local_addr=(address, 0) if address else None)
        return aiohttp.ClientSession(self._url, connector=connector, timeout=self._timeout)

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped.set()

    async def _request(self, session: aiohttp.ClientSession, number: int) -> None:
        streamed = number % _STREAM_EVERY == 0
        path, body = (
            ("/v1/chat/completions", _chat(number)) if streamed else (f"/v2/models/{MODEL}/infer", _inference(number))
        )
        result = await _send(session, path, body, b"data: [DONE]" if streamed else b'"outputs"')
        self.results.append(result)  # `take` may have replaced the list meanwhile

    def since(self, at_ns: int) -> Iterator[RequestResult]:
        """Yield the results of requests that were started at or after `at_ns`."""
        return (result for result in self.results if result.started_ns >= at_ns)

    def take(self) -> list[RequestResult]:
        """Return the results so far, and forget them."""
        taken, self.results = self.results, []
        return taken

    def kinds(self) -> dict[str, int]:
        """Return how many requests ended in each way."""
        return dict(Counter(result.kind for result in self.results))

    def late(self) -> int:
        """Return how many complete answers were late."""
        return sum(result.kind == "ok" and not self._succeeded(result) for result in self.results)

    def healthy_for_s(self) -> float:
        """Return for how long every started request has succeeded, up to the last answer."""
        since_ns = self.healthy_since_ns()
        return 0.0 if since_ns is None else (max(result.ended_ns for result in self.since(since_ns)) - since_ns) / 1e9

    def healthy_since_ns(self) -> int | None:
        """Return the start of the first request since which all have succeeded; None if the last one did not."""
        last_ns = max((result.started_ns for result in self.results if not self._succeeded(result)), default=0)
        return min((result.started_ns for result in self.results if result.started_ns > last_ns), default=None)

    def _succeeded(self, result: RequestResult) -> bool:
        return result.kind == "ok" and (self._late_after_s is None or result.waited_s() <= self._late_after_s)


def _inference(number: int) -> dict[str, Any]:
    amount = 0.4 + number % _VARIANTS / 1000
    return {"inputs": [{"name": "payment", "datatype": "FP64", "shape": [1, 4], "data": [amount, -0.5, 0.3, 0.1]}]}


def _chat(number: int) -> dict[str, Any]:
    question = f"Why did the router go back from payment {number % _VARIANTS}?"
    return {
        "model": CHAT_MODEL,
        "stream": True,
        "max_tokens": _STREAM_TOKENS,
        "messages": [{"role": "user", "content": question}],
    }


async def _send(session: aiohttp.ClientSession, path: str, body: dict[str, Any], proof: bytes) -> RequestResult:
    started_ns = clock.now_ns()
    status: int | None = None
    version: str | None = None
    first_byte_ns: int | None = None
    try:
        async with session.post(path, json=body) as response:
            first_byte_ns = clock.now_ns()
            status, version = response.status, response.headers.get("X-Served-Version")
            whole = proof in await response.read()
        kind = "http" if status >= 400 else "ok" if whole else "cut"
    except TimeoutError:
        kind = "gave_up"
    except aiohttp.ClientConnectorError:
        kind = "unreachable"
    except (aiohttp.ClientError, ConnectionError):
        kind = "cut"
    return RequestResult(kind, started_ns, clock.now_ns(), status, version, first_byte_ns)
