"""Fuzz the targets named (all), each in a process of its own: `python -m tests.fuzz [--seconds N] [TARGET …]`.

Ends with 1 and prints the input if one is found that breaks a promise, so that it can be added to tests/fuzz/found.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import corpus

ROOT = Path(__file__).parent.parent.parent
INPUT_BYTES_MAX = 4096
ONE_INPUT_S_MAX = 10


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one target: `broken` is the input that broke it, `log` the output of libFuzzer."""

    target: str
    code: int
    log: str
    broken: bytes | None

    @property
    def runs(self) -> int:
        """How many inputs were tried."""
        found = [line for line in self.log.splitlines() if line.startswith("Done ")]
        return int(found[-1].split()[1]) if found else 0


def fuzz(targets: list[str], seconds: int) -> list[Result]:
    """Fuzz all targets at the same time, each for `seconds`."""
    with tempfile.TemporaryDirectory(prefix="rollback-router-fuzz-") as name:
        folders = {target: Path(name) / target for target in targets}
        started = {target: _start(target, folder, seconds) for target, folder in folders.items()}
        return [_result(target, folders[target], process) for target, process in started.items()]


def _start(target: str, folder: Path, seconds: int) -> subprocess.Popen[bytes]:
    folder.mkdir()
    words = corpus.write(target, folder)
    command = [sys.executable, "-m", "tests.fuzz.run", target, str(folder / "corpus"), f"-dict={words}"]
    command += [f"-max_total_time={seconds}", f"-max_len={INPUT_BYTES_MAX}", f"-timeout={ONE_INPUT_S_MAX}"]
    command += [f"-artifact_prefix={folder}/broken-", "-print_final_stats=0"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _result(target: str, folder: Path, process: subprocess.Popen[bytes]) -> Result:
    code = process.wait()
    broken = next((path.read_bytes() for path in folder.glob("broken-*")), None)
    return Result(target, code, (folder / "log").read_text(errors="replace"), broken)


def main() -> int:
    """Run, and print the result of each target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60); all run at the same time")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(corpus.TARGETS))
    chosen = parser.parse_args()
    if unknown := set(chosen.targets) - corpus.TARGETS.keys():
        parser.error(f"no target {', '.join(sorted(unknown))}: {', '.join(corpus.TARGETS)}")
    results = fuzz(chosen.targets or list(corpus.TARGETS), chosen.seconds)
    for result in results:
        print(f"{result.target}: {result.runs} inputs" if result.code == 0 else f"{result.target}: BROKEN")
        if result.code != 0:
            print(result.log[-4000:])
            print(f"the input, for tests/fuzz/found.py:\n{result.broken!r}")
    return 1 if any(result.code for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
