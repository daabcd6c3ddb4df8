"""Ten thousand idle keep-alive connections, and two thousand busy ones beside them."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Final

from benchmarks.peers.latency import complete
from benchmarks.program import BenchmarkError, cpu_s, memory_kib, tree
from benchmarks.proxies import Nginx
from benchmarks.soak import process
from benchmarks.soak.size import Line, Size
from benchmarks.subject import Router, service_toml

SOURCE: Final = "127.0.0.2"
SETTINGS: Final = ("[timeouts]", "keepalive_idle_s = 3600", "")
"""The default (75 s) would close them before the end, as it should."""
WORKERS: Final = 2
REQUEST: Final = (
    b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)


def run(size: Size, folder: Path) -> list[Line]:
    """Measure the busy ones alone, then beside the idle ones; in the end each idle one is asked again."""
    backend = Nginx("backend-nginx.conf", folder, None)
    try:
        text = "\n".join(SETTINGS) + "\n" + service_toml("default", ("v1", backend.port))
        router = Router(folder / "idle", text, workers=WORKERS)
        try:
            return _measure(size, router)
        finally:
            router.stop()
    finally:
        backend.stop()


def _measure(size: Size, router: Router) -> list[Line]:
    words = (router.port, size.busy, size.busy_per_s)
    alone = process.run("soak.busy", *words, size.seconds / 3)
    workers, everyone = router.pids()["worker"], tree(router.program.pid)
    at_rest_mib = _mib(workers)
    connections: list[socket.socket] = []
    try:
        for _ in range(size.idle):
            connections.append(_open(router.port))
        with_idle_mib = _mib(workers)
        used_s, begun_s = cpu_s(everyone), time.monotonic()
        beside = process.run("soak.busy", *words, size.seconds * 2)
        busy = (cpu_s(everyone) - used_s) / (time.monotonic() - begun_s)
        highest_mib = _mib(workers)
        silent = sum(not _answers(connection) for connection in connections)
    finally:
        for connection in connections:
            connection.close()
    if tree(router.program.pid) != everyone:
        raise BenchmarkError("a process of the router was replaced")
    errors = sum(alone["errors"].values()) + sum(beside["errors"].values())
    return [
        Line("errors of the busy connections", errors, "requests", 0),
        Line("idle connections that no longer answer", silent, "connections", 0),
        Line("requests on the busy ones", beside["requests"], "requests"),
        *(Line(f"{key[:-3]} without idle ones", alone[key], "ms") for key in ("p50_ms", "p99_ms")),
        *(
            Line(f"{key[:-3]} beside {size.idle:,} idle ones", beside[key], "ms")
            for key in ("p50_ms", "p99_ms", "max_ms")
        ),
        Line("a request was sent late by at most", beside["lateness_max_ms"], "ms"),
        Line("cores used by all processes", round(busy, 3), "cores"),
        Line("workers before the idle ones came", at_rest_mib, "MiB"),
        Line("workers with them", with_idle_mib, "MiB"),
        Line("per 1,000 idle connections", round((with_idle_mib - at_rest_mib) / size.idle * 1000, 3), "MiB", 8),
        Line("workers at the end", highest_mib, "MiB"),
    ]


def _mib(pids: list[int]) -> float:
    """Return the PSS of the workers together."""
    return round(sum(memory_kib(pid)[1] for pid in pids) / 1024, 2)


def _open(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(SOURCE, 0))
    if not _answers(connection):
        raise BenchmarkError("a request before idling was not answered")
    return connection


def _answers(connection: socket.socket) -> bool:
    answer = b""
    try:
        connection.sendall(REQUEST)
        while not complete(answer):
            if not (data := connection.recv(65536)):
                return False
            answer += data
    except OSError:
        return False
    return True
