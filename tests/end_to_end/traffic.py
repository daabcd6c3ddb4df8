"""Clients of the data port that count for themselves."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from tests import waiting

VARIANTS = 120
"""Different requests that a `Traffic` sends: evidence against a version is more than one request that fails."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as its client saw it. `ending`: a status, `cut`, `gave_up` or `unreachable`. Times: monotonic seconds."""

    started: float
    ended: float
    ending: int | str
    version: str | None

    @property
    def ok(self) -> bool:
        return self.ending == 200


class Traffic:
    """Requests through `url` while it is entered: `clients` that ask again as soon as they have their answer, pausing
    `pause_s`, each on its own kept-alive connection; or, with `per_s`, so many requests a second, also while answers are late.

    The requests come from `addresses` addresses of 127.0.0.0/8 in turn. VARIANTS of them differ, by spaces behind the body.
    With `same` all are equal.
    """

    def __init__(
        self,
        url: str,
        *,
        clients: int = 0,
        per_s: float = 0.0,
        pause_s: float = 0.0,
        give_up_s: float = 10.0,
        path: str = "/infer",
        body: bytes | None = b'{"inputs":[1,2,3]}',
        addresses: int = 4,
        same: bool = False,
    ) -> None:
        self._url = url + path
        self._clients = clients
        self._per_s = per_s
        self._pause_s = pause_s
        self._give_up_s = give_up_s
        self._body = body
        self._addresses = [f"127.0.0.{number + 2}" for number in range(addresses)]
        self._variants = 1 if same else VARIANTS
        self._sent = 0
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen: list[Seen] = []

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._give_up_s)
        self._sessions = [
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, local_addr=(address, 0)), timeout=timeout)
            for address in self._addresses
        ]
        for _ in range(self._clients):
            self._start(self._client())
        if self._per_s:
            self._start(self._open_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        for session in self._sessions:
            await session.close()

    def _start(self, coroutine: object) -> None:
        task = asyncio.create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _client(self) -> None:
        while not self._stopping:
            await self.request()
            await asyncio.sleep(self._pause_s)

    async def _open_loop(self) -> None:
        began, number = time.monotonic(), 0
        while not self._stopping:
            number += 1
            self._start(self.request())
            await asyncio.sleep(max(0.0, began + number / self._per_s - time.monotonic()))

    async def more(self, requests: int, within_s: float = 30.0) -> None:
        """Wait until so many further requests were begun after this call and have ended."""
        since = time.monotonic()
        await waiting.until(lambda: sum(self.endings(since).values()) >= requests, within_s)

    async def request(self) -> None:
        started = time.monotonic()
        ending: int | str
        version = None
        number, self._sent = self._sent, self._sent + 1
        session = self._sessions[number % len(self._sessions)]
        body = self._body and self._body + b" " * (number % self._variants)
        try:
            async with session.post(self._url, data=body) as response:
                version = response.headers.get("X-Served-Version")
                await response.read()
                ending = response.status
        except TimeoutError:
            ending = "gave_up"
        except aiohttp.ClientConnectorError:
            ending = "unreachable"
        except (aiohttp.ClientError, ConnectionError):
            ending = "cut"
        self.seen.append(Seen(started, time.monotonic(), ending, version))

    def endings(self, since: float = 0.0) -> dict[int | str, int]:
        """Return how many requests that were started at `since` or later ended in each way."""
        return dict(Counter(seen.ending for seen in self.seen if seen.started >= since))

    def versions(self, since: float = 0.0) -> set[str | None]:
        """Return the versions that answered requests started at `since` or later."""
        return {seen.version for seen in self.seen if seen.started >= since}


async def leave(port: int, path: str, after_s: float) -> None:
    """Send a request and reset the connection after `after_s`, without having read anything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    await writer.drain()
    await asyncio.sleep(after_s)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    del reader


async def read_slowly(port: int, path: str, seconds: float, receive_buffer: int = 4096) -> int:
    """Ask for `path`, take one small piece every 0.1 s, leave after `seconds`; return how many bytes came."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", port))
    try:
        await loop.sock_sendall(raw, f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        taken, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            taken += len(await loop.sock_recv(raw, 1024))
            await asyncio.sleep(0.1)
        return taken
    finally:
        raw.close()


async def exchange(port: int, raw: bytes, within_s: float = 10.0) -> bytes:
    """Send `raw`, return everything that comes until the router closes or `within_s` have passed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    got = b""
    try:
        async with asyncio.timeout(within_s):
            while data := await reader.read(65536):
                got += data
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return got
