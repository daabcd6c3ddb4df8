"""A load in a process of its own, `python -m benchmarks.MODULE …`, that says one line of JSON when it has ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.program import BenchmarkError

ROOT: Final = Path(__file__).parent.parent.parent


class LoadProcess:
    """One load that runs; a context manager that leaves nothing behind."""

    def __init__(self, module: str, *words: object) -> None:
        self._module = module
        command = [sys.executable, "-m", f"benchmarks.{module}", *(str(word) for word in words)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def line(self) -> dict[str, Any]:
        """Return the next line that it says."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            raise BenchmarkError(f"{self._module} left:\n{self._process.communicate()[1][-2000:]}")
        document: dict[str, Any] = json.loads(said)
        return document

    def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


def run(module: str, *words: object) -> dict[str, Any]:
    """Run a load to its end and return what it says."""
    with LoadProcess(module, *words) as process:
        return process.line()
