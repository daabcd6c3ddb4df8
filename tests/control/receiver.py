"""A receiver of notifications on loopback: what it got, and how it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from tests.loopback_app import served
from tests.waiting import until


class Receiver:
    """`statuses` are answered one after the other, the last one for ever; None hangs."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses or (200,))
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self.free = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status is None:
            await self.free.wait()
            status = 200
        where = {"Location": "http://127.0.0.1:9/"} if 300 <= status < 400 else {}
        return web.Response(status=status, text="ok" if status < 300 else "not\nnow", headers=where)

    def events(self) -> list[Any]:
        return [orjson.loads(body) for _, body in self.got]

    async def until(self, count: int) -> None:
        """Wait until so many have come; the test's own time limit ends it."""
        await until(lambda: len(self.got) >= count)


@asynccontextmanager
async def receiving(*statuses: int | None) -> AsyncIterator[Receiver]:
    receiver = Receiver(*statuses)
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", receiver.answer)
    async with served(application, receiver.free) as origin:
        receiver.url = f"{origin}/hook/SECRET"
        yield receiver
