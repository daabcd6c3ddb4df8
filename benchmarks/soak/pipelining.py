"""Clients that pipeline without end, reading their answers or not: the worker's memory, and how long others wait."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.figures import quantile
from benchmarks.peers.latency import OpenLoop
from benchmarks.proxies import Nginx
from benchmarks.soak.body import Memory
from benchmarks.soak.process import LoadProcess
from benchmarks.soak.size import Line, Size
from benchmarks.subject import Router, service_toml

PATH: Final = "/v2/models/fraud/infer"
ROUNDS: Final = 4
RATIO_MAX: Final = 1.2
HELD_MIB: Final = (65_536 + 256_000) / 2**20
"""What a connection may hold: `buffer_bytes` and one read."""
SLACK_MIB: Final = 8.0
"""What the allocator keeps of reads that are over, and the worker's own growth under load."""
CASES: Final = (
    *(("requests", 1, False), ("requests", 1, True), ("ready", 1, True), ("bodies", 1, True), ("chunked", 1, True)),
    *(("refused", 1, True), ("upload", 1, True), ("tiny chunks", 1, True)),
    *(("requests", 20, False), ("requests", 20, True), ("ready", 20, False), ("ready", 20, True)),
)
"""(kind of `pipeliner.py`, connections, whether they read)."""


def run(size: Size, folder: Path) -> list[Line]:
    """Measure each case in rounds, and others' requests alone before each."""
    backend = Nginx("backend-nginx.conf", folder, None)
    try:
        lines: list[Line] = []
        for kind, connections, reads in CASES:
            text = service_toml("default", ("v1", backend.port))
            router = Router(folder / f"{kind}-{connections}-{reads}".replace(" ", "-"), text, workers=1)
            try:
                lines += _measure(size, router, kind, connections, reads)
            finally:
                router.stop()
        return lines
    finally:
        backend.stop()


def _measure(size: Size, router: Router, kind: str, connections: int, reads: bool) -> list[Line]:
    what = f"{connections} × {kind}, {'reading' if reads else 'not reading'}"
    each_s = size.seconds / 10
    alone: list[float] = []
    beside: list[float] = []
    _latencies_us(router.port, size.well_per_s, each_s)
    memory = Memory(router.pids()["worker"][0])
    try:
        for _ in range(ROUNDS):
            alone += _latencies_us(router.port, size.well_per_s, each_s)
            with LoadProcess("soak.pipeliner", router.port, kind, connections, int(reads), 600) as pipeliner:
                pipeliner.line()
                beside += _latencies_us(router.port, size.well_per_s, each_s)
    finally:
        memory.stop()
    without_ms, found_ms = (round(quantile(us, 0.99) / 1000, 3) for us in (alone, beside))
    limit_ms = round(max(without_ms * RATIO_MAX, without_ms + size.noise_ms), 3)
    grew_mib = round(memory.highest_mib - memory.before_mib, 2)
    return [
        Line(f"{what}: RSS of the worker grew by", grew_mib, "MiB", round(SLACK_MIB + connections * HELD_MIB, 1)),
        Line(f"{what}: p99 of others without", without_ms, "ms"),
        Line(f"{what}: p99 of others beside", found_ms, "ms", limit_ms),
        Line(f"{what}: longest beside", round(max(beside) / 1000, 2), "ms"),
    ]


def _latencies_us(port: int, rate: float, seconds: float) -> list[float]:
    load = OpenLoop(port, rate, PATH, queueing=True)
    load.run(seconds)
    return load.latencies_us
