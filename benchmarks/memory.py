"""Memory of the router at rest, per 1,000 idle keep-alive connections (each has made one request and waits), and by the number of
services (each with two versions, which are probed, and with requests all the time).
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import slope
from benchmarks.program import BenchmarkError, allow_many_files, memory_kib
from benchmarks.proxies import Nginx
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

REQUEST: Final = (
    b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
SERVICES: Final = (1, 16, 64)
SERVICES_WORKERS: Final = 2
SERVICES_REQUESTS_S: Final = 100.0
"""Longer than the ring of whole samples at 1 s (90 s)."""
SETTLE_S: Final = 6.0
"""Longer than `upstream_idle_s` (4): the backend connections of the last requests are closed."""


def run(quick: bool) -> None:
    """Measure, print the table, write results/memory.json."""
    allow_many_files()
    steps = [0, 1000, 2000, 3000] if quick else [0, 1000, 2000, 3000, 4000, 5000]
    with tempfile.TemporaryDirectory(prefix="rollback-router-memory-") as name:
        folder = Path(name)
        backend = Nginx("backend-nginx.conf", folder, None)
        try:
            router = Router(folder / "router", service_toml("default", ("v1", backend.port)), workers=1)
            try:
                figures = _measure(router, steps)
            finally:
                router.stop()
            figures["services"] = [
                _with_services(
                    folder / f"services-{count}", backend.port, count, 20.0 if quick else SERVICES_REQUESTS_S
                )
                for count in SERVICES
            ]
        finally:
            backend.stop()
    path = write("memory", quick, {"workers": 1, "connections": steps}, figures)
    rows: list[list[object]] = [
        [f"{kind}, at rest", f"{one['rss_mib']:.1f}", f"{one['pss_mib']:.1f}"]
        for kind, one in figures["at_rest"].items()
    ]
    rows += [
        [f"worker, {one['connections']:,} connections", f"{one['rss_mib']:.1f}", f"{one['pss_mib']:.1f}"]
        for one in figures["with_connections"]
    ]
    per = f"{figures['rss_mib_per_1000_connections']:.2f}"
    rows.append(["worker, per 1,000 idle connections", per, f"{figures['pss_mib_per_1000_connections']:.2f}"])
    rows += [
        [f"all processes, {one['services']} services, {SERVICES_WORKERS} workers", "", f"{one['pss_mib']:.1f}"]
        for one in figures["services"]
    ]
    print(table("memory, MiB", ["what", "RSS", "PSS"], rows))
    memory = [[one["services"], one["segment_mib"], one["segment_used_mib"]] for one in figures["services"]]
    print(table("shared memory, MiB", ["services", "size", "used"], memory))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


def _with_services(folder: Path, port: int, count: int, seconds: float) -> dict[str, Any]:
    """Return the memory of a router with `count` services after `seconds` of requests to each of them in turn."""
    services = [
        service_toml(f"s{number}", ("v2", port), ("v1", port), [f'hosts = ["s{number}.test"]'])
        for number in range(count)
    ]
    router = Router(folder, "".join(services), workers=SERVICES_WORKERS)
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for number in range(count):
                _asked_once(router.port, f"s{number}.test").close()
            time.sleep(0.05)
        router.admin.close()  # its connection was idle for too long
        pids = router.pids()
        size, used = _segment(pids["control"][0])
        pss = sum(_mib(pid)["pss_mib"] for pid in pids["all"])
    finally:
        router.stop()
    return {"services": count, "segment_mib": size, "segment_used_mib": used, "pss_mib": round(pss, 1)}


def _segment(pid: int) -> tuple[float, float]:
    """Return size and memory in use of the shared segment of a router, MiB."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if "rollback-router-segment" in os.readlink(path):
            facts = os.stat(path)
            return round(facts.st_size / 2**20, 1), round(facts.st_blocks * 512 / 2**20, 1)
    raise BenchmarkError(f"process {pid} has no shared segment")


def _measure(router: Router, steps: list[int]) -> dict[str, Any]:
    pids = router.pids()
    kinds = {"supervisor": router.program.pid, "control": pids["control"][0], "worker": pids["worker"][0]}
    time.sleep(SETTLE_S)
    at_rest = {kind: _mib(pid) for kind, pid in kinds.items()}
    at_rest["all processes"] = {
        key: round(sum(_mib(pid)[key] for pid in pids["all"]), 2) for key in ("rss_mib", "pss_mib")
    }
    taken: list[dict[str, Any]] = []
    connections: list[socket.socket] = []
    try:
        for step in steps:
            while len(connections) < step:
                connections.append(_asked_once(router.port))
            time.sleep(SETTLE_S)
            _check_all_open(connections)
            taken.append({"connections": step, **_mib(kinds["worker"])})
    finally:
        for connection in connections:
            connection.close()
    # The first thousand partly fit into memory that the start has left over: the slope begins after them.
    later = taken[1:]
    xs = [one["connections"] for one in later]
    return {
        "at_rest": at_rest,
        "with_connections": taken,
        "rss_mib_per_1000_connections": round(slope(xs, [one["rss_mib"] for one in later]) * 1000, 3),
        "pss_mib_per_1000_connections": round(slope(xs, [one["pss_mib"] for one in later]) * 1000, 3),
    }


def _asked_once(port: int, host: str = "127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(REQUEST.replace(b"Host: 127.0.0.1", f"Host: {host}".encode()))
    answer = connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchmarkError(f"a request before idling was answered {answer[:200]!r}")
    return connection


def _check_all_open(connections: list[socket.socket]) -> None:
    """Raise if the router has closed one: then we would measure fewer than we say."""
    for connection in connections:
        connection.setblocking(False)
        try:
            if connection.recv(1, socket.MSG_PEEK) == b"":
                raise BenchmarkError("the router closed an idle connection during the measurement")
        except BlockingIOError:
            pass


def _mib(pid: int) -> dict[str, float]:
    rss_kib, pss_kib = memory_kib(pid)
    return {"rss_mib": round(rss_kib / 1024, 2), "pss_mib": round(pss_kib / 1024, 2)}
