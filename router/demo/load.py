"""The demo's clients: so many requests a second through the data port, each one's fate recorded by the client itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from router.demo.model_server import CHAT_MODEL, MODEL
from router.runtime import clock
from router.runtime.tasks import Tasks

_STREAM_EVERY: Final = 20
"""Each so-many-th request is a token stream, the others are inferences."""
_STREAM_TOKENS: Final = 8
_INFERENCE: Final = {
    "inputs": [{"name": "payment", "datatype": "FP64", "shape": [1, 4], "data": [0.4, -0.5, 0.3, 0.1]}]
}
_CHAT: Final = {
    "model": CHAT_MODEL,
    "stream": True,
    "max_tokens": _STREAM_TOKENS,
    "messages": [{"role": "user", "content": "Why did the router go back?"}],
}


@dataclass(frozen=True, slots=True)
class Fate:
    """How one request ended for its client.

    `kind`: `ok`, `http` (a complete answer with `status` ≥ 400), `cut` (ended before its end), `gave_up` (the client's own
    limit), `unreachable` (the router did not take the connection). `version` is what X-Served-Version said.
    Times are monotonic.
    """

    kind: str
    started_ns: int
    ended_ns: int
    status: int | None = None
    version: str | None = None
    first_byte_ns: int | None = None

    def waited_s(self) -> float:
        """Return how long the client waited for the first byte, or in vain."""
        return ((self.first_byte_ns or self.ended_ns) - self.started_ns) / 1e9


class Load:
    """Starts `requests_per_s` requests a second, whatever became of the earlier ones, until `stop`.

    A client gives up after `give_up_after_s`. An answer whose first byte took longer than `late_after_s` is late: complete,
    but no sign of health.
    """

    def __init__(
        self, url: str, requests_per_s: float, give_up_after_s: float, late_after_s: float | None = None
    ) -> None:
        self._url = url
        self._requests_per_s = requests_per_s
        self._timeout = aiohttp.ClientTimeout(total=give_up_after_s)
        self._late_after_s = late_after_s
        self._tasks = Tasks()
        self._stopped = asyncio.Event()
        self.started = 0
        self.fates: list[Fate] = []

    async def run(self) -> None:
        """Send until `stop`; return when the last client has its answer or gave up."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self._url, connector=connector, timeout=self._timeout) as session:
            began_s = clock.now_s()
            while not self._stopped.is_set():
                self.started += 1
                self._tasks.spawn(self._request(session, self.started), f"demo request {self.started}")
                await asyncio.sleep(max(0.0, began_s + self.started / self._requests_per_s - clock.now_s()))
            while len(self._tasks):
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped.set()

    async def _request(self, session: aiohttp.ClientSession, number: int) -> None:
        streamed = number % _STREAM_EVERY == 0
        path, body = ("/v1/chat/completions", _CHAT) if streamed else (f"/v2/models/{MODEL}/infer", _INFERENCE)
        self.fates.append(await _fate(session, path, body, b"data: [DONE]" if streamed else b'"outputs"'))

    def since(self, at_ns: int) -> Iterator[Fate]:
        """Yield the fates of requests that were started at or after `at_ns`."""
        return (fate for fate in self.fates if fate.started_ns >= at_ns)

    def kinds(self) -> dict[str, int]:
        """Return how many requests ended in each way."""
        return dict(Counter(fate.kind for fate in self.fates))

    def late(self) -> int:
        """Return how many complete answers were late."""
        return sum(fate.kind == "ok" and not self._well(fate) for fate in self.fates)

    def healthy_for_s(self) -> float:
        """Return for how long every request that was started has gone well, up to the last answer."""
        since_ns = self.healthy_since_ns()
        return 0.0 if since_ns is None else (max(fate.ended_ns for fate in self.since(since_ns)) - since_ns) / 1e9

    def healthy_since_ns(self) -> int | None:
        """Return the start of the first request from which on every one went well; None: the last one did not."""
        last_ns = max((fate.started_ns for fate in self.fates if not self._well(fate)), default=0)
        return min((fate.started_ns for fate in self.fates if fate.started_ns > last_ns), default=None)

    def _well(self, fate: Fate) -> bool:
        return fate.kind == "ok" and (self._late_after_s is None or fate.waited_s() <= self._late_after_s)


async def _fate(session: aiohttp.ClientSession, path: str, body: dict[str, Any], proof: bytes) -> Fate:
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
    return Fate(kind, started_ns, clock.now_ns(), status, version, first_byte_ns)
