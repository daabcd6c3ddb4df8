"""The first commands of README and CONTRIBUTING in a fresh checkout, which make their own environment."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.documents import elsewhere

ROOT: Final = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]
STEP_S: Final = 1500


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "checkout"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True, timeout=120)
    return folder


def run(checkout: Path, page: str, command: str) -> str:
    """Run a command of a page on a terminal, as its reader does; return what it prints."""
    assert command in elsewhere.shown(ROOT / page)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ROLLBACK_ROUTER_", "PYTEST_", "PYTHON", "VIRTUAL_ENV"))
    }
    environment["PATH"] = os.pathsep.join(
        part for part in os.environ["PATH"].split(os.pathsep) if not part.startswith(str(ROOT))
    )
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"],
        cwd=checkout,
        env=environment | {"TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=STEP_S,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", done.stdout)


def test_the_demo_of_readme(checkout: Path) -> None:
    shown = run(checkout, "README.md", "bash router/demo/run")
    assert re.search(r"demo-v2.*demo-v1", shown, re.DOTALL)
    assert "rolled back" in shown


def test_a_part_of_the_tests(checkout: Path) -> None:
    shown = run(checkout, "CONTRIBUTING.md", "bash tests/run tests/proxy -k deadlines")
    assert re.search(r"\b[1-9]\d* passed\b", shown)
    assert not re.search(r"\b(?:failed|errors?)\b.* in [\d.]+s", shown)
