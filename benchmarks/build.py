"""The compiled wheel of a commit, in a virtual environment of its own under benchmarks/.cache/builds."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.program import BenchmarkError

ROOT: Final = Path(__file__).parent.parent
CACHE: Final = Path(__file__).parent / ".cache" / "builds"
BUILD_TIMEOUT_S: Final = 900
FLAVOUR: Final = """
try:
    from router.runtime import build
except ImportError:
    from router import build
print(build.flavour())
"""
"""The module `build` was moved into `runtime`: older commits have it beside the package."""


class Build:
    """An installed commit. The constructor builds the wheel, or finds the one that an earlier run has left.

    Raises BenchmarkError if git does not know the commit, or if the wheel cannot be built or is not compiled.
    """

    def __init__(self, revision: str) -> None:
        self.commit = commit(revision)
        folder = CACHE / self.commit
        self.python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            print(f"building the wheel of {self.commit} in benchmarks/.cache/builds", flush=True)
            self._install(folder)
            (folder / "complete").touch()
        self.flavour = flavour(self.python)
        if self.flavour != "compiled":
            raise BenchmarkError(f"the wheel of {self.commit} is {self.flavour}, not compiled: is there a C compiler?")

    def _install(self, folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="rollback-router-build-") as source:
            archive = Path(source) / "commit.tar"
            _run(["git", "archive", "--output", str(archive), self.commit], self.commit)
            tree = Path(source) / "tree"
            tree.mkdir()
            _run(["tar", "-xf", str(archive), "-C", str(tree)], self.commit)
            _run([sys.executable, "-m", "venv", "--clear", str(folder)], self.commit)
            install = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check", str(tree)]
            _run(install, self.commit, ROLLBACK_ROUTER_COMPILED="1")


def commit(revision: str) -> str:
    """Return the commit that git calls `revision`, 12 digits; raise BenchmarkError if there is none."""
    try:
        return _run(["git", "rev-parse", "--verify", "--short=12", f"{revision}^{{commit}}"], revision).strip()
    except BenchmarkError as error:
        raise BenchmarkError(f"{revision!r} is no commit of this checkout: {error}") from None


def flavour(python: Path) -> str:
    """Return which build of the router is installed for this interpreter: `compiled` or `pure`."""
    return _run([str(python), "-P", "-c", FLAVOUR], str(python), folder=Path("/")).strip()


def _run(command: Sequence[str], subject: str, folder: Path = ROOT, **environment: str) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=BUILD_TIMEOUT_S,
        )
    except FileNotFoundError:
        raise BenchmarkError(f"{subject}: the program {command[0]} is needed, and is not installed") from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{subject}: {command[0]} did not end in {BUILD_TIMEOUT_S} s") from None
    if done.returncode:
        raise BenchmarkError(f"{subject}: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout
