"""A thousand slow event streams while five thousand requests a second pass, through one worker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from benchmarks.figures import quantile
from benchmarks.peers.latency import OpenLoop
from benchmarks.program import Program, free_port
from benchmarks.proxies import Nginx
from benchmarks.soak.process import ROOT, LoadProcess
from benchmarks.soak.size import Line, Size
from benchmarks.subject import Router, service_toml

PATH: Final = "/v2/models/fraud/infer"


def run(size: Size, folder: Path) -> list[Line]:
    """Measure the requests alone, then beside the streams."""
    chunks = round((size.seconds + size.settle_s) * 1000 / size.stream_interval_ms)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "benchmarks.peers.stream_backend",
        str(port),
        str(size.stream_interval_ms),
        str(chunks),
    ]
    backend = Nginx("backend-nginx.conf", folder, None)
    try:
        with Program(command, folder / "streams.log", cwd=ROOT) as program:
            program.wait_for_port(port)
            text = service_toml("streams", ("v1", port), more=['path_prefix = "/v1"'])
            text += service_toml("requests", ("v1", backend.port), more=['path_prefix = "/v2"'])
            router = Router(folder / "streaming", text, workers=1)
            try:
                return _measure(size, router)
            finally:
                router.stop()
    finally:
        backend.stop()


def _measure(size: Size, router: Router) -> list[Line]:
    alone = _latencies_us(router.port, size.requests_per_s, size.seconds / 3)
    with LoadProcess("soak.readers", router.port, size.streams) as readers:
        readers.line()
        beside = _latencies_us(router.port, size.requests_per_s, size.seconds)
        streams = readers.line()
    excess_ms = streams["gap_max_ms"] - size.stream_interval_ms
    lines = [
        Line("streams that were cut", streams["broken"], "streams", 0),
        Line("requests beside them, all answered with 200", len(beside), "requests"),
        Line("events", streams["events"], "events"),
        Line("gap between two events, p99", streams["gap_p99_ms"], "ms"),
        Line("longest gap above the interval", round(excess_ms, 2), "ms", size.gap_excess_ms_max),
    ]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        without, found = quantile(alone, share), quantile(beside, share)
        lines.append(Line(f"{name} of the requests without streams", round(without / 1000, 3), "ms"))
        lines.append(Line(f"{name} of the requests beside {size.streams:,} streams", round(found / 1000, 3), "ms"))
    return lines


def _latencies_us(port: int, rate: float, seconds: float) -> list[float]:
    """Return the latencies; an unanswered request, or another status than 200, ends the benchmark with an error."""
    load = OpenLoop(port, rate, PATH, queueing=True)
    load.run(seconds)
    return load.latencies_us
