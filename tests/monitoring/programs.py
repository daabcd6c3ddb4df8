"""The programs of Debian's package `prometheus`. tests/run puts them beside the Python of the tests."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def program(name: str) -> str:
    """Return the path of `prometheus` or `promtool`."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found is not None, f"{name} is missing: `bash tests/run` installs it"
    return found
