"""`python -m benchmarks load`: each part, its table, results/load.json."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from benchmarks.program import BenchmarkError, allow_many_files
from benchmarks.results import table, write
from benchmarks.soak import body, idle, isolation, pipelining, streaming
from benchmarks.soak.size import FULL, QUICK, Line, Size

PARTS: Final[dict[str, tuple[str, Callable[[Size, Path], list[Line]]]]] = {
    "idle": ("idle connections beside busy ones", idle.run),
    "body": ("huge bodies", body.run),
    "streams": ("slow event streams beside requests", streaming.run),
    "isolation": ("a service beside one that hangs", isolation.run),
    "pipelining": ("clients that pipeline without end", pipelining.run),
}
NOT_DEFAULTS: Final = {
    "idle": f"workers = {idle.WORKERS}; {' '.join(idle.SETTINGS).strip()}",
    "body": f"workers = 1; {' '.join(body.SETTINGS).strip()}",
    "streams": "workers = 1; two services by path",
    "isolation": "workers = 1; two services by path",
    "pipelining": "workers = 1",
}


def run(quick: bool, parts: str | None, seconds: float | None) -> None:
    """Measure the parts named (all); raise if something that must hold did not."""
    allow_many_files()
    names = [name.strip() for name in (parts or ",".join(PARTS)).split(",") if name.strip()]
    if unknown := [name for name in names if name not in PARTS]:
        raise BenchmarkError(f"no part {', '.join(unknown)}: {', '.join(PARTS)}")
    size = QUICK if quick else FULL
    size = replace(size, seconds=seconds) if seconds else size
    found: dict[str, list[Line]] = {}
    with tempfile.TemporaryDirectory(prefix="rollback-router-load-") as folder:
        # nginx's worker runs as another user when the benchmark runs as root.
        Path(folder).chmod(0o755)
        for name in names:
            begun_s = time.monotonic()
            found[name] = PARTS[name][1](size, Path(folder))
            _tell(name, found[name], time.monotonic() - begun_s)
    figures = {name: [{**asdict(line), "held": line.held} for line in lines] for name, lines in found.items()}
    trial = quick or parts is not None or seconds is not None
    path = write("load", trial, {**asdict(size), "not_defaults": NOT_DEFAULTS}, figures)
    print(f"\nwritten: benchmarks/{path.parent.name}/{path.name}")
    broken = [f"{name}: {line.what}" for name, lines in found.items() for line in lines if not line.held]
    if broken:
        raise BenchmarkError("did not hold: " + "; ".join(broken))


def _tell(name: str, lines: list[Line], took_s: float) -> None:
    rows = [line.as_row() for line in lines]
    title = f"{name}: {PARTS[name][0]} ({took_s:.0f} s; not defaults: {NOT_DEFAULTS[name]})"
    print(table(title, ["what", "value", "unit", "limit", ""], rows), flush=True)
