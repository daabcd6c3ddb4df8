"""The load benchmark in small, with real processes: nothing is cut, lost or refused. Its times are judged by the full one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.alone, pytest.mark.timeout(120)]

ROOT = Path(__file__).parent.parent.parent


def test_a_trial_of_every_load_holds() -> None:
    command = [sys.executable, "-m", "benchmarks", "load", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT held" not in done.stdout
    assert [line.split(":")[0] for line in done.stdout.splitlines() if "not defaults" in line] == [
        "idle",
        "body",
        "streams",
        "isolation",
        "pipelining",
    ]
