"""The clients of the compose file: they count and forget."""

from __future__ import annotations

import asyncio
import json
import os
import signal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from router.demo.load import Load
from router.demo.steady_load import main, parse, run


def model(answered: asyncio.Event, after: int) -> web.Application:
    """Return a server that fails each tenth request, and sets `answered` after so many."""
    count = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal count
        await request.read()
        count += 1
        if count >= after:
            answered.set()
        headers = {"X-Served-Version": "v1"}
        if count % 10 == 0:
            return web.Response(status=500, headers=headers)
        return web.Response(text='"outputs" data: [DONE]', headers=headers)

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    return app


async def test_summaries_count_every_request_once(capsys: pytest.CaptureFixture[str]) -> None:
    answered = asyncio.Event()
    async with TestServer(model(answered, 60)) as server:
        load = Load(str(server.make_url("")), 200, 5.0, addresses=(None,))
        await run(load, 0.05, answered)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) > 1
    assert sum(line["requests"] for line in lines) == load.started >= 60
    assert sum(line["ended"].get("http", 0) for line in lines) == load.started // 10
    assert sum(line["versions"].get("v1", 0) for line in lines) == load.started
    assert load.results == []


async def test_sigterm_ends_it_after_the_last_answer(capsys: pytest.CaptureFixture[str]) -> None:
    answered = asyncio.Event()
    async with TestServer(model(answered, 3)) as server:
        arguments = parse(["--url", str(server.make_url("")), "--requests-per-s", "50"])
        running = asyncio.ensure_future(main(arguments))
        await answered.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await running
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["ended"]["ok"] >= 3
