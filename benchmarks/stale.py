"""How often a kept connection is closed by the backend just as the router reuses it, and what `upstream_idle_s` does to that.

Backends close a connection that was idle for their keep-alive timeout: uvicorn after 5 s, gunicorn after 2 s, neither saying
so; others say it in `Keep-Alive: timeout=N`. A request that meets that moment is lost unless it may be sent again. Here
every request is sent at that moment, give or take EDGE_S, which is as bad as it gets; it is a POST that may not be sent again.

This file is also the backend, as a process of its own: `python -m benchmarks.stale`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.program import BenchmarkError, allow_many_files
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

SETTINGS: Final = (4.0, 60.0)
"""`timeouts.upstream_idle_s`: the default, and as good as off."""
EDGE_S: Final = 0.005
HOLD_S: Final = 0.1
"""The backend answers after this time, so that requests sent together are on connections of their own."""
CLIENTS: Final = 150
LASTS_S: Final = 22.0


@dataclass(frozen=True, slots=True)
class Kind:
    """A backend: its keep-alive timeout, whether it tells it, and how many services of it run in turns."""

    name: str
    timeout_s: float
    announced: bool
    services: int


KINDS: Final = (
    Kind("5 s, not told (uvicorn)", 5.0, False, 3),
    Kind("2 s, not told (gunicorn)", 2.0, False, 2),
    Kind("2 s, told by Keep-Alive", 2.0, True, 2),
)


@dataclass(slots=True)
class Counts:
    """What became of the requests to a kind: `reused` is how many were written to a kept connection."""

    requests: int = 0
    reused: int = 0
    stale: int = 0
    failed: int = 0

    @property
    def per_100_000(self) -> float | None:
        return round(self.stale / self.reused * 100_000, 1) if self.reused else None


def run(quick: bool) -> None:
    """Measure, print the table, write results/stale.json."""
    allow_many_files()
    lasts_s = 8.0 if quick else LASTS_S
    figures = {f"{idle_s:g}": asyncio.run(_measure(idle_s, lasts_s)) for idle_s in SETTINGS}
    settings = {"clients_a_service": CLIENTS, "edge_ms": EDGE_S * 1000, "lasts_s": lasts_s, "workers": 1}
    document = {
        idle: {name: {**asdict(counts), "per_100_000": counts.per_100_000} for name, counts in kinds.items()}
        for idle, kinds in figures.items()
    }
    path = write("stale", quick, settings, document)
    rows: list[list[object]] = []
    for idle, kinds in figures.items():
        for name, one in kinds.items():
            share = "none was reused" if one.per_100_000 is None else f"{one.per_100_000:,.0f}"
            rows.append([f"upstream_idle_s = {idle}, {name}", one.requests, one.reused, one.stale, one.failed, share])
    head = ["", "requests", "reused", "stale", "client errors", "stale per 100,000 reuses"]
    print(table(f"each request within {EDGE_S * 1000:g} ms of the backend's keep-alive timeout", head, rows))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


async def _measure(idle_s: float, lasts_s: float) -> dict[str, Counts]:
    backends = {kind.name: [await Backend.start(kind) for _ in range(kind.services)] for kind in KINDS}
    names = [(kind, number) for kind in KINDS for number in range(kind.services)]
    services = "".join(
        service_toml(
            _service(kind, number),
            ("v1", backends[kind.name][number].port),
            more=[f'path_prefix = "/{_service(kind, number)}"', 'probe = "none"'],
        )
        for kind, number in names
    )
    with tempfile.TemporaryDirectory(prefix="rollback-router-stale-") as name:
        more = f"[timeouts]\nupstream_idle_s = {idle_s}\n\n"
        router = await asyncio.to_thread(Router, Path(name) / "router", more + services, workers=1)
        try:
            until_s = time.monotonic() + lasts_s
            counts = {kind.name: Counts() for kind in KINDS}
            groups = [_group(router.port, kind, number, until_s, counts[kind.name]) for kind, number in names]
            await asyncio.gather(*groups)
            for kind, number in names:
                document = await asyncio.to_thread(router.service, _service(kind, number))
                (target,) = document["targets"]
                counts[kind.name].stale += target["totals"]["stale_connections"]
                heard = await backends[kind.name][number].counted()
                counts[kind.name].reused -= heard["connections"]
        finally:
            await asyncio.to_thread(router.stop)
            for some in backends.values():
                for backend in some:
                    await backend.stop()
    for one in counts.values():
        one.reused += one.requests
    return counts


def _service(kind: Kind, number: int) -> str:
    return f"s{KINDS.index(kind)}{number}"


async def _group(port: int, kind: Kind, number: int, until_s: float, counts: Counts) -> None:
    """The clients of one service: all ask at once, then each again about the timeout later, and so on."""
    await asyncio.sleep(number * kind.timeout_s / kind.services)
    draw = random.Random(number)
    request = f"POST /{_service(kind, number)}/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    clients = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)))
    try:
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            answers = await asyncio.gather(*(_ask(reader, writer, request, 0.0) for reader, writer in clients))
            at_s = max(at_s for _, at_s in answers) + kind.timeout_s
            edge = [at_s + draw.uniform(-EDGE_S, EDGE_S) for _ in clients]
            again = await asyncio.gather(
                *(_ask(reader, writer, request, due_s) for (reader, writer), due_s in zip(clients, edge, strict=True))
            )
            statuses = Counter(status for status, _ in (*answers, *again))
            if set(statuses) - {200, 502}:
                raise BenchmarkError(f"{kind.name}: {dict(statuses)} after {time.monotonic() - began_s:.1f} s")
            counts.requests += sum(statuses.values())
            counts.failed += statuses[502]
    finally:
        for _, writer in clients:
            writer.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, due_s: float
) -> tuple[int, float]:
    """Send when it is due (monotonic seconds); return (status, when the answer was there)."""
    await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ")[1]), time.monotonic()


class Backend:
    """A started backend process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @classmethod
    async def start(cls, kind: Kind) -> Backend:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.stale", str(kind.timeout_s), str(int(kind.announced))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout is not None
        return cls(process, json.loads(await process.stdout.readline())["port"])

    async def counted(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"count\n")
        found: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return found

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


class Connection(asyncio.Protocol):
    """Serves as uvicorn does: a timer is set when a response is written, and stopped by the next bytes."""

    accepted = 0

    def __init__(self, timeout_s: float, announced: bool) -> None:
        self._timeout_s = timeout_s
        extra = f"Keep-Alive: timeout={timeout_s:g}\r\n" if announced else ""
        self._answer = f"HTTP/1.1 200 OK\r\n{extra}Content-Length: 2\r\n\r\n{{}}".encode()
        self._loop = asyncio.get_running_loop()
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        Connection.accepted += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._loop.call_later(HOLD_S, self._reply)

    def _reply(self) -> None:
        self._transport.write(self._answer)
        self._idle = self._loop.call_later(self._timeout_s, self._transport.close)


async def _serve(timeout_s: float, announced: bool) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(timeout_s, announced), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps({"connections": Connection.accepted}), flush=True)


if __name__ == "__main__":
    allow_many_files()
    asyncio.run(_serve(float(sys.argv[1]), sys.argv[2] == "1"))
