"""Where a peer from PyPI lives: a virtual environment of its own under benchmarks/.cache/peers."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.program import BenchmarkError

CACHE: Final = Path(__file__).parent.parent / ".cache" / "peers"
INSTALL_TIMEOUT_S: Final = 900


class Environment:
    """The virtual environment of one peer; made and filled on the first use, kept for the next."""

    def __init__(self, name: str, package: str, say: Callable[[str], None] = print) -> None:
        self.folder = CACHE / name
        self.package = package
        if not self._version():
            say(f"installing {package} into benchmarks/.cache/peers/{name}")
            self._run([sys.executable, "-m", "venv", str(self.folder)])
            self._run([str(self.folder / "bin" / "pip"), "install", "-q", "--no-input", package])
        self.version = self._version()
        if not self.version:
            raise BenchmarkError(f"{package}: pip says it is installed and does not know its version")

    def program(self, pattern: str) -> Path:
        """Return the one file that the pattern names."""
        found = sorted(self.folder.glob(pattern))
        if not found:
            raise BenchmarkError(f"{self.package} {self.version} brings no {pattern}")
        return found[0]

    def _version(self) -> str:
        project = re.split(r"[\[<>=]", self.package)[0].replace("-", "_").lower()
        for folder in self.folder.glob("lib/python*/site-packages/*.dist-info"):
            name, _, version = folder.name.removesuffix(".dist-info").partition("-")
            if name.lower() == project:
                return version
        return ""

    def _run(self, command: list[str]) -> None:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"{self.package} was not installed in {INSTALL_TIMEOUT_S} s") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise BenchmarkError(f"{self.package} is not to be had: {last}")
