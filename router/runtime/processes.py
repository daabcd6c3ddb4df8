"""Processes by their number."""

from __future__ import annotations

import os


def process_exists(pid: int) -> bool:
    """Return whether `pid` is a process; a zombie still is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
