"""wrk as the closed-loop load: 64 connections, one thread, the small inference request of conf/post.lua."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.program import BenchmarkError, installed

CONNECTIONS: Final = 64
SCRIPT: Final = Path(__file__).parent / "conf" / "post.lua"
Heads = Literal["repeating", "fresh"]


@dataclass(frozen=True, slots=True)
class Load:
    """What one wrk run did."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    errors: dict[str, int]

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    def check(self, what: str) -> None:
        """Raise if a single request failed: a figure over failed requests means nothing."""
        if any(self.errors.values()) or not self.requests:
            raise BenchmarkError(f"{what}: {self.requests} requests, errors {self.errors}")


def command(port: int, heads: Heads, seconds: int) -> list[str]:
    """Return the wrk command line."""
    wrk = [installed("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "5s", "-s", str(SCRIPT)]
    return [*wrk, f"http://127.0.0.1:{port}", "--", heads]


def run(port: int, heads: Heads, seconds: int, core: int) -> Load:
    """Load 127.0.0.1:port from `core` for so long and return what came of it."""
    pinned = [installed("taskset"), "-c", str(core), *command(port, heads, seconds)]
    done = subprocess.run(pinned, capture_output=True, text=True, check=False)
    return parse(done.stdout, done.stderr)


def parse(output: str, complaints: str = "") -> Load:
    """Return the figures of the RESULT line that conf/post.lua writes."""
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise BenchmarkError(f"wrk gave no result:\n{output}{complaints}")
    values = json.loads(line.removeprefix("RESULT "))
    return Load(
        values["requests"],
        values["duration_us"] / 1e6,
        values["p50_us"],
        values["p99_us"],
        {name: values[name] for name in ("connect", "read", "write", "status", "timeout")},
    )
