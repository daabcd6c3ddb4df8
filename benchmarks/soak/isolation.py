"""One service whose only backend hangs, and another one through the same worker, whose requests must not notice."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.figures import quantile
from benchmarks.peers.latency import OpenLoop
from benchmarks.proxies import Nginx
from benchmarks.soak.process import LoadProcess
from benchmarks.soak.size import Line, Size
from benchmarks.subject import Router, service_toml

RATIO_MAX: Final = 1.5
ROUNDS: Final = 3


def run(size: Size, folder: Path) -> list[Line]:
    """Measure the well service beside its neighbour well and hanging, in turns of the same length."""
    well = Nginx("backend-nginx.conf", folder, None)
    try:
        with LoadProcess("backend", 1) as ill:
            text = service_toml("ill", ("v1", ill.line()["port"]), more=['path_prefix = "/ill"'])
            text += service_toml("well", ("v1", well.port), more=['path_prefix = "/well"'])
            router = Router(folder / "isolation", text, workers=1)
            try:
                return _measure(size, router, ill)
            finally:
                router.stop()
    finally:
        well.stop()


def _measure(size: Size, router: Router, ill: LoadProcess) -> list[Line]:
    found: dict[str, list[float]] = {"healthy": [], "hang": []}
    failed = 0
    for _ in range(ROUNDS):
        for state, latencies_us in found.items():
            ill.tell(state)
            ill.line()
            each_s = size.seconds / ROUNDS
            with LoadProcess("soak.pressure", router.port, "/ill", size.hung_per_s, each_s) as pressure:
                load = OpenLoop(router.port, size.well_per_s, "/well", queueing=True)
                load.run(each_s)
                latencies_us += load.latencies_us
                if state == "healthy":  # those that wait for one that hangs end with their clients
                    failed += sum(count for outcome, count in pressure.line().items() if outcome != "ok")
    return _lines(size, found["healthy"], found["hang"], failed)


def _lines(size: Size, well_us: list[float], hung_us: list[float], failed: int) -> list[Line]:
    without_ms, beside_ms = (round(quantile(us, 0.99) / 1000, 3) for us in (well_us, hung_us))
    limit_ms = round(max(without_ms * RATIO_MAX, without_ms + size.noise_ms), 3)
    return [
        Line("requests of the ill service that failed while it was well", failed, "requests", 0),
        Line("requests of the well service, all answered with 200", len(well_us) + len(hung_us), "requests"),
        Line("p50, its neighbour is well", round(quantile(well_us, 0.5) / 1000, 3), "ms"),
        Line("p50, its neighbour hangs", round(quantile(hung_us, 0.5) / 1000, 3), "ms"),
        Line("p99, its neighbour is well", without_ms, "ms"),
        Line("p99, its neighbour hangs", beside_ms, "ms", limit_ms),
        Line("p99, hangs ÷ is well", round(beside_ms / without_ms, 3), "ratio"),
    ]
