"""Run a supervisor over fake children in a process of its own.

python -m tests.supervised REPORT_SOCKET SETTINGS CONTROL_BEHAVIOUR WORKER_BEHAVIOUR
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from router import config, launch, logs
from router.errors import StartError
from router.start import Start


def main() -> int:
    report_path, settings, control, worker = sys.argv[1:]
    report = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    report.connect(report_path)
    logs.setup("supervisor")
    child = (sys.executable, "-m", "tests.fake_child", report_path)
    start = Start(
        origin=settings,
        reload=lambda: config.load(Path(settings)),
        announce=lambda line: report.send(f"announce {line}".encode()) and None,
        assume_active="v9",
    )
    try:
        return launch.run(config.load(Path(settings)), start, (*child, "control", control), (*child, "worker", worker))
    except StartError as error:
        sys.stderr.write(error.detail)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
