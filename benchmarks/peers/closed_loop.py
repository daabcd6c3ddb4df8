"""The closed-loop works: wrk on the load's core, CPU time of all processes of a peer per request."""

from __future__ import annotations

import http.client
import statistics
import subprocess
from pathlib import Path
from typing import Final

from benchmarks import wrk
from benchmarks.peers.peer import Started
from benchmarks.peers.tls import connection
from benchmarks.peers.work import Work
from benchmarks.program import BenchmarkError, cpu_s, installed, tree, wakes

SCRIPT: Final = Path(__file__).parent / "conf" / "wrk.lua"
SIZES: Final = {"file-100k": 100_000, "file-10m": 10_000_000}
UPLOAD_BYTES: Final = 1_000_000


class Use:
    """What one peer has used for one work in the slices of one round."""

    def __init__(self, peer: str, started: Started, work: Work) -> None:
        self._peer = peer
        self._started = started
        self._work = work
        self._loads: list[wrk.Load] = []
        self._cpu_s = 0.0
        self._wakes = 0

    def load(self, seconds: int, core: int, *, counted: bool = True) -> None:
        """Load it for one slice; one that is not counted opens connections and fills caches."""
        everyone = tree(self._started.program.pid)
        before, woken = cpu_s(everyone), wakes(everyone)
        load = _wrk(self._started.port, self._work, seconds, core)
        load.check(f"{self._peer}, work {self._work.key}")
        if tree(self._started.program.pid) != everyone:
            raise BenchmarkError(f"{self._peer}: a process was replaced while it was measured")
        if counted:
            self._cpu_s += cpu_s(everyone) - before
            self._wakes += wakes(everyone) - woken
            self._loads.append(load)

    def values(self) -> dict[str, float]:
        """Return the sums over the slices; the latency is the median slice's."""
        requests = sum(load.requests for load in self._loads)
        seconds = sum(load.seconds for load in self._loads)
        return {
            "figure": round(self._cpu_s / requests * 1e6, 3),
            "wakes": round(self._wakes / requests, 4),
            "requests_per_s": round(requests / seconds, 1),
            "busy": round(self._cpu_s / seconds, 3),
            "p50_us": statistics.median(load.p50_us for load in self._loads),
            "requests": requests,
        }


def check(peer: str, port: int, work: Work) -> None:
    """Raise unless one request of this work is answered with 200 and everything that was asked for."""
    client = connection(port, work.tls, 30)
    try:
        if work.script in SIZES:
            client.request("GET", f"/files/{work.script}")
        elif work.script == "upload":
            client.request("POST", "/upload", b"x" * UPLOAD_BYTES, {"Content-Type": "application/octet-stream"})
        else:
            return  # a chat completion has been answered before the peer counted as started
        response = client.getresponse()
        body = response.read()
        if response.status != 200 or (work.script in SIZES and len(body) != SIZES[work.script]):
            raise BenchmarkError(f"{peer}, work {work.key}: {response.status} with {len(body)} bytes")
    except (OSError, http.client.HTTPException) as error:
        raise BenchmarkError(f"{peer}, work {work.key}: {error!r}") from error
    finally:
        client.close()


def write_files(folder: Path) -> None:
    """Write what the backend's /files/ serves."""
    (folder / "www").mkdir()
    for name, size in SIZES.items():
        (folder / "www" / name).write_bytes(bytes(range(256)) * (size // 256) + b"\0" * (size % 256))


def _wrk(port: int, work: Work, seconds: int, core: int) -> wrk.Load:
    command = [installed("taskset"), "-c", str(core), installed("wrk"), "-t1", f"-c{work.connections}"]
    command += [f"-d{seconds}s", "--timeout", "20s", "-s", str(SCRIPT)]
    command += [f"{'https' if work.tls else 'http'}://127.0.0.1:{port}", "--", work.script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return wrk.parse(done.stdout, done.stderr)
