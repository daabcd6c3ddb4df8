"""A model server for checks: answers each request by a function of its body, and remembers what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

Answering = Callable[[bytes], tuple[int, bytes]]


class ModelServer:
    """`answering` gives status and body; `hangs`: says nothing; `most`: how many requests it had at a time."""

    def __init__(self, answering: Answering) -> None:
        self.answering = answering
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.hangs = False
        self.url = ""
        self.most = self._present = 0
        self.release = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.method, request.path_qs, headers, body))
        self._present += 1
        self.most = max(self.most, self._present)
        try:
            if self.hangs:
                await self.release.wait()
            else:
                await asyncio.sleep(0.001)
        finally:
            self._present -= 1
        status, answer = self.answering(body)
        return web.Response(status=status, body=answer, content_type="application/json")


@asynccontextmanager
async def model_server(answering: Answering = lambda body: (200, b'{"ok": true}')) -> AsyncIterator[ModelServer]:
    server = ModelServer(answering)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        server.release.set()
        await runner.cleanup()
