"""CPU per proxied request: one worker of the router ÷ nginx and ÷ HAProxy on the same POST, in interleaved rounds.

The proxies have one core, wrk and the backend the other. A round starts all three afresh and loads them one after
another in short slices of turning order, so that a slow minute of the machine meets all of them. CPU time is
schedstat of a proxy's processes, read before and after each slice.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol, get_args

from benchmarks import wrk
from benchmarks.build import flavour
from benchmarks.figures import Ratio, median_ratio
from benchmarks.program import BenchmarkError, Program, cpu_s, tree, two_cores
from benchmarks.proxies import HAProxy, Nginx, check_same_work
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

OURS: Final = "router"
OURS_WORKER: Final = "router, worker only"
PROXIES: Final = ("nginx", "haproxy", OURS)
SLICES: Final = 3


class Proxy(Protocol):
    """What all three have."""

    port: int
    program: Program

    def stop(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Round:
    """One proxy under one kind of heads in one round."""

    proxy: str
    heads: str
    number: int
    requests: int
    requests_per_s: float
    cpu_us_per_request: float
    cpu_us_per_request_worker: float
    busy: float
    """Share of its core that the proxy used."""
    p50_us: int
    p99_us: int


def run(quick: bool, rounds: int | None) -> None:
    """Measure, print the tables, write results/cost.json."""
    rounds = rounds or (3 if quick else 9)
    slice_s = 1 if quick else 2
    taken: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="rollback-router-cost-") as name:
        core, other = two_cores()
        backend = Nginx("backend-nginx.conf", Path(name), other)
        try:
            for number in range(rounds):
                taken += _round(number, Path(name), backend.port, slice_s, core, other)
                print(f"round {number + 1} of {rounds} done", flush=True)
        finally:
            backend.stop()
    figures = {heads: summary([one for one in taken if one.heads == heads]) for heads in get_args(wrk.Heads)}
    settings = {
        "rounds": rounds,
        "slices": SLICES,
        "slice_s": slice_s,
        "connections": wrk.CONNECTIONS,
        "body_bytes": 140,
        "build": _build(),
    }
    print(f"measured: the installed router, {settings['build']}")
    path = write("cost", quick, settings, {**figures, "rounds": [asdict(one) for one in taken]})
    for heads, figure in figures.items():
        print(show(heads, figure))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Return per proxy the medians, and our ratios to the other two, all processes counted and the worker alone."""
    by = {proxy: sorted((r for r in rounds if r.proxy == proxy), key=lambda r: r.number) for proxy in PROXIES}
    cost = {proxy: [r.cpu_us_per_request for r in by[proxy]] for proxy in PROXIES}
    cost[OURS_WORKER] = [r.cpu_us_per_request_worker for r in by[OURS]]
    by[OURS_WORKER] = by[OURS]
    return {
        name: {
            "cpu_us_per_request": round(statistics.median(values), 2),
            "requests_per_s": round(statistics.median(r.requests_per_s for r in by[name])),
            "busy": round(statistics.median(r.busy for r in by[name]), 3),
            "p50_us": statistics.median(r.p50_us for r in by[name]),
            "p99_us": statistics.median(r.p99_us for r in by[name]),
            "ratio_to_nginx": asdict(median_ratio(values, cost["nginx"])),
            "ratio_to_haproxy": asdict(median_ratio(values, cost["haproxy"])),
        }
        for name, values in cost.items()
    }


def show(heads: str, figure: dict[str, Any]) -> str:
    """Return the table of one kind of heads."""
    rows = [
        [
            name,
            f"{one['cpu_us_per_request']:.2f}",
            f"{one['requests_per_s']:,}",
            f"{one['busy']:.0%}",
            str(Ratio(**one["ratio_to_nginx"])),
            str(Ratio(**one["ratio_to_haproxy"])),
        ]
        for name, one in figure.items()
    ]
    head = ["proxy", "CPU µs/request", "requests/s", "core used", "÷ nginx [95 %]", "÷ HAProxy [95 %]"]
    return table(f"{heads} heads", head, rows)


def _start(proxy: str, folder: Path, backend: int, core: int) -> Proxy:
    folder.mkdir()
    if proxy == "nginx":
        return Nginx("proxy-nginx.conf", folder, core, backend)
    if proxy == "haproxy":
        return HAProxy(folder, core, backend)
    return Router(folder, service_toml("default", ("v1", backend)), workers=1, cores=[core])


def _round(number: int, folder: Path, backend: int, slice_s: int, core: int, other: int) -> Iterator[Round]:
    """Start the three, load them in turns, and yield what each needed under each kind of heads."""
    with ExitStack() as stack:
        started: dict[str, Proxy] = {}
        for proxy in PROXIES:
            started[proxy] = _start(proxy, folder / f"{proxy}-{number}", backend, core)
            stack.callback(started[proxy].stop)
            check_same_work(started[proxy].port, proxy)
        for heads in get_args(wrk.Heads):
            uses = {proxy: Use(proxy, one) for proxy, one in started.items()}
            for use in uses.values():
                use.warm(heads, other)
            for turn in range(SLICES):
                first = (number + turn) % len(PROXIES)
                for proxy in PROXIES[first:] + PROXIES[:first]:
                    uses[proxy].load(heads, slice_s, other)
            for use in uses.values():
                yield use.result(heads, number)


def _build() -> str:
    """Return which build is installed where the benchmarks run: the one that is measured."""
    return flavour(Path(sys.executable))


class Use:
    """What one proxy has used in the slices of one round."""

    def __init__(self, proxy: str, started: Proxy) -> None:
        self._proxy = proxy
        self._started = started
        self._everyone = tree(started.program.pid)
        self._workers = started.pids()["worker"] if isinstance(started, Router) else self._everyone
        self._loads: list[wrk.Load] = []
        self._cpu_s = self._cpu_worker_s = 0.0

    def warm(self, heads: wrk.Heads, other: int) -> None:
        """Open connections and fill caches, uncounted."""
        wrk.run(self._started.port, heads, 1, other).check(f"{self._proxy}, warming up")

    def load(self, heads: wrk.Heads, seconds: int, other: int) -> None:
        """Add one slice."""
        before, before_worker = cpu_s(self._everyone), cpu_s(self._workers)
        load = wrk.run(self._started.port, heads, seconds, other)
        self._cpu_s += cpu_s(self._everyone) - before
        self._cpu_worker_s += cpu_s(self._workers) - before_worker
        load.check(f"{self._proxy}, {heads} heads")
        if tree(self._started.program.pid) != self._everyone:
            raise BenchmarkError(f"{self._proxy}: a process was replaced while it was measured")
        self._loads.append(load)

    def result(self, heads: str, number: int) -> Round:
        """Return the sum over the slices; latencies are the median slice's."""
        requests = sum(load.requests for load in self._loads)
        seconds = sum(load.seconds for load in self._loads)
        return Round(
            proxy=self._proxy,
            heads=heads,
            number=number,
            requests=requests,
            requests_per_s=round(requests / seconds),
            cpu_us_per_request=round(self._cpu_s / requests * 1e6, 3),
            cpu_us_per_request_worker=round(self._cpu_worker_s / requests * 1e6, 3),
            busy=round(self._cpu_s / seconds, 3),
            p50_us=round(statistics.median(load.p50_us for load in self._loads)),
            p99_us=round(statistics.median(load.p99_us for load in self._loads)),
        )
