"""CPU per request of one commit ÷ another, both compiled, in slices that alternate until the interval is narrow.

Both routers run at the same time with one worker each on the same core; wrk and the backend have the other core. A pair is
one slice of each, in an order that alternates; its ratio is one reading. Both are started afresh every PAIRS_PER_START
pairs, because the addresses that a process happens to get shift its CPU time by more than a percent.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

from benchmarks import wrk
from benchmarks.build import Build
from benchmarks.figures import Ratio, median_ratio
from benchmarks.program import BenchmarkError, cpu_s, tree, two_cores
from benchmarks.proxies import Nginx
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

PAIRS_PER_START: Final = 6
PAIRS_MIN: Final = 12
HALF_WIDTH_MAX: Final = 0.015
LIMIT_S: Final = 600.0
"""How long one kind of heads is measured at most."""


@dataclass(slots=True)
class Readings:
    """CPU microseconds per request of both commits, pair by pair, all processes of a router counted."""

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)

    def ratio(self) -> Ratio:
        return median_ratio(self.after, self.before)

    def is_narrow(self) -> bool:
        """Return whether the 95 % interval of the ratio is narrower than ± HALF_WIDTH_MAX."""
        if len(self.before) < PAIRS_MIN:
            return False
        ratio = self.ratio()
        return (ratio.high - ratio.low) / 2 < HALF_WIDTH_MAX


def run(before: str, after: str, heads: wrk.Heads | None, quick: bool) -> None:
    """Measure, print the table, write results/commits.json. `before` and `after` are revisions that git knows."""
    kinds: list[wrk.Heads] = [heads] if heads else list(get_args(wrk.Heads))
    builds = (Build(before), Build(after))
    slice_s, limit_s = (1, 20.0) if quick else (2, LIMIT_S)
    core, other = two_cores()
    readings = {kind: Readings() for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="rollback-router-commits-") as name:
        backend = Nginx("backend-nginx.conf", Path(name), other)
        try:
            for kind, taken in readings.items():
                _measure(kind, taken, builds, Path(name), backend.port, slice_s, limit_s, (core, other))
        finally:
            backend.stop()
    settings = {
        "before": builds[0].commit, "after": builds[1].commit, "slice_s": slice_s, "limit_s": limit_s,
        "pairs_per_start": PAIRS_PER_START, "half_width_max": HALF_WIDTH_MAX, "connections": wrk.CONNECTIONS,
    }  # fmt: skip
    rows, figures = [], {}
    for kind, taken in readings.items():
        ratio = taken.ratio()
        costs = [statistics.median(values) for values in (taken.before, taken.after)]
        rows.append([kind, str(len(taken.before)), *(f"{cost:.2f}" for cost in costs), str(ratio)])
        figures[kind] = {
            "pairs": len(taken.before), "ratio": ratio.median, "low": ratio.low, "high": ratio.high,
            "before_us": taken.before, "after_us": taken.after,
        }  # fmt: skip
    path = write("commits", quick, settings, figures)
    head = ["heads", "pairs", "µs before", "µs after", "after ÷ before [95 %]"]
    print(table(f"{builds[1].commit} ÷ {builds[0].commit}, CPU per request", head, rows))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


def _measure(
    heads: wrk.Heads,
    taken: Readings,
    builds: tuple[Build, Build],
    folder: Path,
    backend: int,
    slice_s: int,
    limit_s: float,
    cores: tuple[int, int],
) -> None:
    """Add pairs to `taken` until its interval is narrow or `limit_s` is over."""
    end_s = time.monotonic() + limit_s
    number = 0
    while not taken.is_narrow() and time.monotonic() < end_s:
        number += 1
        with ExitStack() as stack:
            routers = []
            for name, build in zip(("before", "after"), builds, strict=True):
                place = folder / f"{heads}-{number}-{name}"
                toml = service_toml("default", ("v1", backend))
                router = Router(place, toml, workers=1, cores=[cores[0]], python=str(build.python))
                stack.callback(router.stop)
                routers.append(router)
                wrk.run(router.port, heads, 1, cores[1]).check(f"{build.commit}, warming up")
            for pair in range(PAIRS_PER_START):
                # The order within a pair alternates: what the first slice leaves behind meets both equally often.
                places = (0, 1) if pair % 2 else (1, 0)
                costs = {
                    place: _slice(routers[place], builds[place].commit, heads, slice_s, cores[1]) for place in places
                }
                taken.before.append(costs[0])
                taken.after.append(costs[1])
        print(f"{heads} heads, {len(taken.before)} pairs: {taken.ratio()}", flush=True)


def _slice(router: Router, commit: str, heads: wrk.Heads, seconds: int, core: int) -> float:
    """Load one router for one slice; return CPU microseconds per request of all its processes."""
    everyone = tree(router.program.pid)
    used_s = cpu_s(everyone)
    load = wrk.run(router.port, heads, seconds, core)
    used_s = cpu_s(everyone) - used_s
    load.check(f"{commit}, {heads} heads")
    if tree(router.program.pid) != everyone:
        raise BenchmarkError(f"{commit}: a process was replaced while it was measured")
    return used_s / load.requests * 1e6
