"""What a benchmark leaves behind: a table on the screen and results/NAME.json with the facts of the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import interpreter
from benchmarks.program import BenchmarkError, installed

HOUSE = Path(__file__).parent


def machine() -> dict[str, Any]:
    """Return what a reader needs to compare: cores, processor, kernel, versions. No host name, no path."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "python": interpreter.facts(),
        "versions": {
            "rollback-router": importlib.metadata.version("rollback-router"),
            "installed": _installed(),
            "commit": _commit(),
            "uvloop": importlib.metadata.version("uvloop"),
            "httptools": importlib.metadata.version("httptools"),
            "nginx": _first_line(["nginx", "-v"]).removeprefix("nginx version: nginx/"),
            "haproxy": _first_line(["haproxy", "-v"]).removeprefix("HAProxy version ").split(" ")[0],
            "wrk": _first_line(["wrk", "-v"]).removeprefix("wrk ").split(" ")[0],
        },
    }


def write(name: str, quick: bool, settings: dict[str, Any], figures: dict[str, Any]) -> Path:
    """Write results/NAME.json (a quick run: .cache/NAME.json, which is not kept) and return its path."""
    path = HOUSE / (".cache" if quick else "results") / f"{name}.json"
    document = {
        "benchmark": name,
        "quick": quick,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "settings": settings,
        "figures": figures,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a plain table: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(["", title, *lines])


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _installed() -> str:
    """Return "wheel", or "checkout" for an editable installation (PEP 610)."""
    origin = importlib.metadata.distribution("rollback-router").read_text("direct_url.json")
    return "checkout" if origin and json.loads(origin).get("dir_info", {}).get("editable") else "wheel"


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def _first_line(command: list[str]) -> str:
    try:
        path = installed(command[0])
    except BenchmarkError:
        return "not installed"
    done = subprocess.run([path, *command[1:]], capture_output=True, text=True, check=False, timeout=10)
    lines = (done.stdout + done.stderr).splitlines()
    return lines[0].strip() if lines else "unknown"
