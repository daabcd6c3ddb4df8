"""How long a switch takes while two workers are fully loaded: 1,000 switches between two healthy versions.

`swap_us` (decision → store) and `confirmed_ms` (store → last worker) are the router's own figures for each switch;
`call_ms` is what the caller waits, journal and HTTP included. After each switch has returned, one request on a kept
connection must be served by the new version, and wrk must not see one failed request.
"""

from __future__ import annotations

import http.client
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks import wrk
from benchmarks.figures import quantile
from benchmarks.program import BenchmarkError
from benchmarks.proxies import Nginx
from benchmarks.results import table, write
from benchmarks.subject import Router, service_toml

WORKERS: Final = 2
VERSIONS: Final = ("v1", "v2")
FIGURES: Final = ("swap_us", "confirmed_ms", "call_ms")


def run(quick: bool) -> None:
    """Measure, print the table, write results/swap.json."""
    switches = 100 if quick else 1000
    with tempfile.TemporaryDirectory(prefix="rollback-router-swap-") as name:
        folder = Path(name)
        backends = [Nginx("backend-nginx.conf", folder, None) for _ in VERSIONS]
        try:
            active, standby = zip(VERSIONS, (backend.port for backend in backends), strict=True)
            router = Router(folder / "router", service_toml("default", active, standby), workers=WORKERS)
            try:
                answers, stale, load = _under_load(router, switches)
            finally:
                router.stop()
        finally:
            for backend in backends:
                backend.stop()
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
