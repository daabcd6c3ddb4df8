"""Clients that never retry: what they lose is lost. Some keep their connection for as long as they are let, some take a new one
each time."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from types import TracebackType
from typing import Self

from tests import waiting

REQUEST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"


class Steady:
    """While entered, `keeping` clients on kept connections and `new` ones ask 127.0.0.1:`port`, pausing
    `pause_s`; `tls`: what they trust.

    `lost` counts requests that were sent and not answered with 200, by how; `refused` connections that were not let in. A kept
    connection that the router closed between two requests, or announced to close, is taken anew.
    """

    def __init__(
        self, port: int, *, keeping: int = 8, new: int = 4, pause_s: float = 0.005, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answered = 0
        self.seen: list[tuple[float, bytes]] = []
        """(when it was sent, the version that answered) of each answered request."""
        self.lost: Counter[str] = Counter()
        self.refused = 0
        self.announced = 0
        self._port = port
        self._pause_s = pause_s
        self._tls = tls
        self._kinds = [True] * keeping + [False] * new
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client(keep)) for keep in self._kinds]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def more(self, requests: int, within_s: float = 30.0) -> None:
        """Wait until so many further requests were answered."""
        enough = self.answered + requests
        await waiting.until(lambda: self.answered >= enough, within_s)

    async def _client(self, keep: bool) -> None:
        while not self._stopping:
            try:
                reader, writer = await asyncio.wait_for(
                    asyncio.open_connection("127.0.0.1", self._port, ssl=self._tls), 10
                )
            except OSError:
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            try:
                while await self._ask(reader, writer) and keep and not self._stopping:
                    await asyncio.sleep(self._pause_s)
            finally:
                writer.close()
            if not keep:
                await asyncio.sleep(self._pause_s)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Return whether the connection may be used again."""
        if reader.at_eof():  # closed between two requests: nothing is lost
            return False
        began = time.monotonic()
        try:
            async with asyncio.timeout(20):
                writer.write(REQUEST)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
        except (OSError, EOFError, TimeoutError) as error:
            self.lost[repr(error)] += 1
            return False
        if not head.startswith(b"http/1.1 200 "):
            self.lost[head[:12].decode()] += 1
            return False
        self.answered += 1
        self.seen.append((began, head.partition(b"x-served-version: ")[2].split(b"\r\n")[0]))
        announced = b"connection: close" in head
        self.announced += announced
        return not announced
