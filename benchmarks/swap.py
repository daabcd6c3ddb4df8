"""How long a switch takes while two workers are fully loaded: 1,000 switches between two healthy versions.

`swap_us` (decision → store) and `confirmed_ms` (store → last worker) are the router's own figures for each switch;
`call_ms` is what the caller waits, journal and HTTP included. After each switch has returned, one request on a kept
connection must be served by the new version, and wrk must not see one failed request.
"""

from __future__ import annotations

import http.client
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks import wrk
from benchmarks.build import Build
from benchmarks.figures import median_ratio, quantile
from benchmarks.program import BenchmarkError
from benchmarks.proxies import Nginx
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

WORKERS: Final = 2
VERSIONS: Final = ("v1", "v2")
FIGURES: Final = ("swap_us", "confirmed_ms", "call_ms")
PAIRS: Final = 11
PAIR_SWITCHES: Final = 200


def run(quick: bool, before: str | None) -> None:
    """Measure, print the table, write results/swap.json; with `before`, a revision, compare() instead."""
    if before is not None:
        return compare(before, quick)
    switches = 100 if quick else 1000
    answers, stale, load = _one_router(switches, sys.executable)
    figures = summary(answers) | {
        "switches": len(answers),
        "unconfirmed": sum(not answer["confirmed"] for answer in answers),
        "requests_on_the_old_version_after_return": stale,
        "load_requests": load.requests,
        "load_requests_per_s": round(load.requests_per_s),
        "load_errors": sum(load.errors.values()),
    }
    settings = {"workers": WORKERS, "connections": wrk.CONNECTIONS, "load": "wrk, closed loop, repeating heads"}
    path = write("swap", quick, settings, figures)
    rows = [[name, *(f"{figures[name][key]:,}" for key in ("p50", "p99", "max"))] for name in FIGURES]
    print(table(f"{switches:,} switches under load, {WORKERS} workers", ["figure", "p50", "p99", "max"], rows))
    print(table("of these", ["what", "count"], [[k, f"{v:,}"] for k, v in figures.items() if k not in FIGURES]))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")
    return None


def compare(before: str, quick: bool) -> None:
    """Measure HEAD and `before` in turns, both compiled; print the ratio of p50 and max, write results/swap-before.json.

    A pair is PAIR_SWITCHES switches of each, of a router that was started for them; its ratio is one reading.
    """
    builds = (Build(before), Build("HEAD"))
    pairs = 2 if quick else PAIRS
    taken: list[list[dict[str, Any]]] = [[], []]
    for pair in range(pairs):
        for place in (0, 1) if pair % 2 else (1, 0):
            answers, stale, load = _one_router(PAIR_SWITCHES, str(builds[place].python))
            load.check(f"{builds[place].commit}, pair {pair + 1}")
            if stale:
                raise BenchmarkError(f"{builds[place].commit}: {stale} requests on the old version after the return")
            taken[place].append(summary(answers))
    rows, figures = [], {}
    for name in FIGURES:
        for label in ("p50", "max"):
            first, second = ([one[name][label] for one in of_build] for of_build in taken)
            ratio = median_ratio(second, first)
            rows.append(
                [f"{name} {label}", *(f"{statistics.median(values):,}" for values in (first, second)), str(ratio)]
            )
            figures[f"{name} {label}"] = {
                "ratio": ratio.median, "low": ratio.low, "high": ratio.high, "before": first, "after": second,
            }  # fmt: skip
    commits = [build.commit for build in builds]
    settings = {
        "before": commits[0],
        "after": commits[1],
        "pairs": pairs,
        "switches": PAIR_SWITCHES,
        "workers": WORKERS,
    }
    path = write("swap-before", quick, settings, figures)
    title = f"{commits[1]} ÷ {commits[0]}, {pairs} pairs of {PAIR_SWITCHES} switches under load"
    print(table(title, ["figure", "before", "after", "after ÷ before [95 %]"], rows))
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")


def _one_router(switches: int, python: str) -> tuple[list[dict[str, Any]], int, wrk.Load]:
    """Start a router of the interpreter `python`, switch it under load; return answers, stale requests and the load."""
    with tempfile.TemporaryDirectory(prefix="rollback-router-swap-") as name, ExitStack() as stack:
        folder = Path(name)
        backends = [Nginx("backend-nginx.conf", folder, None) for _ in VERSIONS]
        for backend in backends:
            stack.callback(backend.stop)
        active, standby = zip(VERSIONS, (backend.port for backend in backends), strict=True)
        router = Router(folder / "router", service_toml("default", active, standby), workers=WORKERS, python=python)
        stack.callback(router.stop)
        return _under_load(router, switches)


def summary(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return p50, p99 and max of each figure."""
    return {
        name: {
            label: round(quantile([answer[name] for answer in answers], share), 3)
            for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
        }
        for name in FIGURES
    }


def _under_load(router: Router, switches: int) -> tuple[list[dict[str, Any]], int, wrk.Load]:
    load = _Load(router.port)
    client = http.client.HTTPConnection("127.0.0.1", router.port, timeout=10)
    answers, stale = [], 0
    try:
        time.sleep(1.0)  # wrk has connected and the workers are warm
        for number in range(switches):
            to = VERSIONS[(number + 1) % 2]
            begun = time.perf_counter()
            answer = router.admin.post("/v1/services/default/switch", to=to, reason="benchmark")
            answer["call_ms"] = (time.perf_counter() - begun) * 1000
            if not answer["changed"] or answer["active"] != to:
                raise BenchmarkError(f"switch {number + 1} to {to} answered {answer}")
            answers.append(answer)
            stale += _served_by(client) != to
    finally:
        client.close()
        done = load.end()
    return answers, stale, done


def _served_by(client: http.client.HTTPConnection) -> str | None:
    client.request("POST", "/v2/models/fraud/infer", body=b"{}", headers={"Content-Type": "application/json"})
    response = client.getresponse()
    response.read()
    return response.getheader("X-Served-Version")


class _Load:
    """wrk in the background, unpinned, until it is ended."""

    def __init__(self, port: int) -> None:
        command = wrk.command(port, "repeating", 3600)
        self._wrk = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self) -> wrk.Load:
        """Return what it did; wrk reports on SIGINT as at its regular end."""
        self._wrk.send_signal(signal.SIGINT)
        return wrk.parse(*self._wrk.communicate(timeout=30))
