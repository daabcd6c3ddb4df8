"""The tutorial, word for word, with a real MLServer in an environment of its own, which is kept."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.documents import elsewhere
from tests.documents.pages import ROOT
from tests.end_to_end.page_process import page_output

PAGE: Final = ROOT / "docs" / "tutorial.md"
SERVERS: Final = Path(sys.prefix) / "mlserver"
PAGE_S: Final = 300
pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(1800)]


def python() -> str:
    """Return a Python that MLServer runs with: 3.12 or earlier."""
    if sys.version_info < (3, 13):
        return sys.executable
    found = shutil.which("python3.12") or shutil.which("python3.11")
    assert found is not None, "MLServer needs Python 3.11 or 3.12: install python3.12"
    return found


@pytest.fixture(scope="module")
def programs() -> Path:
    """Return the folder with `mlserver` and `pip`, where the page's own command has installed it."""
    (install,) = [command for command in elsewhere.shown(PAGE) if command.startswith("pip ")]
    if not (SERVERS / "bin" / "mlserver").exists():
        subprocess.run([python(), "-m", "venv", "--clear", str(SERVERS)], check=True, timeout=120)
        done = subprocess.run(
            ["bash", "-c", f"PATH={SERVERS}/bin:$PATH; {install} --quiet"],
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return SERVERS / "bin"


async def test_the_tutorial_with_a_real_mlserver(programs: Path) -> None:
    assert "mlserver start v1 & mlserver start v2" in await page_output(PAGE, PAGE_S, programs)
