"""Run a supervisor over fake children in a process of its own.

python -m tests.supervisor_process REPORT_SOCKET SETTINGS CONTROL_BEHAVIOUR WORKER_BEHAVIOUR
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from router.errors import StartError
from router.runtime import logs
from router.runtime.exit_codes import exit_code
from router.settings import loader
from router.supervisor import run
from router.supervisor.run_options import RunOptions


def main() -> int:
    report_path, settings, control, worker = sys.argv[1:]
    report = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    report.connect(report_path)
    logs.setup("supervisor")
    child = (sys.executable, "-m", "tests.fake_child", report_path)
    start = RunOptions(
        origin=settings,
        reload=lambda: loader.load(Path(settings)),
        announce=lambda line: report.send(f"announce {line}".encode()) and None,
        assume_active="v9",
    )
    try:
        return run.run(
            loader.load(Path(settings)), start, _argv(child, "control", control), _argv(child, "worker", worker)
        )
    except StartError as error:
        sys.stderr.write(error.detail)
        return exit_code(error)


def _argv(child: tuple[str, ...], kind: str, behaviour: str) -> tuple[str, ...]:
    return ("/there/is/no/such/program",) if behaviour == "unstartable" else (*child, kind, behaviour)


if __name__ == "__main__":
    sys.exit(main())
