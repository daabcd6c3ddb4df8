"""Log lines on stderr: one per change of state, with fields; never one per request unless the access log is on."""

from __future__ import annotations

import logging
import sys


def setup(process: str, level: int = logging.INFO) -> None:
    """Send this process's log to stderr, one line a record, the process named in it."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format=f"%(asctime)s.%(msecs)03d %(levelname)s {process} %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        force=True,
    )
