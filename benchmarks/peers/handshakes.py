"""A full TLS handshake for each request. wrk resumes sessions, so the load is a client of our own that never does.

It keeps `connections` requests under way in a closed loop, on the load's core. One client needs more CPU for a handshake
than a peer does, so the peer's core is not always busy; the figure is CPU per request, and that of all peers is taken alike.
"""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from typing import Final

import uvloop

from benchmarks.peers.latency import BODY, complete
from benchmarks.peers.peer import Started
from benchmarks.peers.tls import client_context
from benchmarks.program import BenchmarkError, cpu_s, tree, wakes

PATIENCE_S: Final = 20.0


def run(peer: str, started: Started, connections: int, seconds: float) -> dict[str, float]:
    """Return the CPU time per request; raise unless each was answered with 200 after a handshake of its own."""
    return uvloop.run(_run(peer, started, connections, seconds))


async def _run(peer: str, started: Started, connections: int, seconds: float) -> dict[str, float]:
    everyone = tree(started.program.pid)
    context = client_context()
    before, woken, begun = cpu_s(everyone), wakes(everyone), time.monotonic()
    tasks = [asyncio.create_task(_ask_until(begun + seconds, started.port, context)) for _ in range(connections)]
    try:
        taken_us = [one for some in await asyncio.gather(*tasks) for one in some]
    except (OSError, TimeoutError, BenchmarkError) as error:
        raise BenchmarkError(f"{peer}, handshakes: {error!r}") from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    took_s, used_s, woken = time.monotonic() - begun, cpu_s(everyone) - before, wakes(everyone) - woken
    if tree(started.program.pid) != everyone:
        raise BenchmarkError(f"{peer}: a process was replaced while it was measured")
    return {
        "figure": round(used_s / len(taken_us) * 1e6, 3),
        "wakes": round(woken / len(taken_us), 4),
        "requests_per_s": round(len(taken_us) / took_s, 1),
        "busy": round(used_s / took_s, 3),
        "p50_us": round(statistics.median(taken_us)),
        "requests": len(taken_us),
    }


async def _ask_until(end_s: float, port: int, context: ssl.SSLContext) -> list[float]:
    """Ask again and again until `end_s`; return what each request took, handshake included, in µs."""
    taken_us = []
    while (begun := time.monotonic()) < end_s:
        await asyncio.wait_for(_ask(port, context), PATIENCE_S)
        taken_us.append((time.monotonic() - begun) * 1e6)
    return taken_us


async def _ask(port: int, context: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        if writer.get_extra_info("ssl_object").session_reused:
            raise BenchmarkError("a session was resumed")
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (port, len(BODY), BODY)
        )
        answer = await reader.read(-1)
        if not complete(answer):
            raise BenchmarkError(f"the answer ended early: {answer[-200:]!r}")
    finally:
        writer.close()
