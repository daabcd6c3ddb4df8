"""Serves an application of aiohttp on a port of loopback, as a receiver in tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def served(application: web.Application, free: asyncio.Event) -> AsyncIterator[str]:
    """Yield http://HOST:PORT. At the end `free` is set, so that answers which wait for it end."""
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.01)
    await runner.setup()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    await web.SockSite(runner, sock).start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        free.set()
        await runner.cleanup()
