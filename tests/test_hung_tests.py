"""A test that hangs ends, and the run with it, in every way in which a test can hang. See `tests/conftest.py`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HANGS = {
    "a wait": "    await asyncio.Event().wait()",
    "a busy loop of callbacks, which catch the timeout": "    loop = asyncio.get_running_loop()\n"
    "    def again():\n        loop.call_soon(again)\n"
    "    again()\n    await loop.create_future()",
    "a task that catches everything": "    while True:\n"
    "        try: await asyncio.Event().wait()\n        except BaseException: pass",
}


@pytest.mark.parametrize("body", HANGS.values(), ids=HANGS)
def test_it_ends_and_says_where(body: str, tmp_path: Path) -> None:
    hanging = tmp_path / "test_hanging.py"
    hanging.write_text(f"import asyncio\nasync def test_hanging():\n{body}\n")
    options = [
        "-q",
        "-c",
        str(ROOT / "pyproject.toml"),
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-o",
        "timeout=2",
        "--tb=native",
    ]
    command = [sys.executable, "-m", "pytest", *options, str(hanging)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode in (1, 3), done.stdout + done.stderr
    assert re.search(r"TimeoutError|Failed: Timeout|Timeout \(0:00:04\)!", done.stdout + done.stderr)
