from __future__ import annotations

import os

from router.runtime.processes import process_exists

ABOVE_ALL = (1 << 22) + 1
"""Linux gives no process this number."""


def test_which_processes_exist() -> None:
    assert process_exists(os.getpid())
    assert process_exists(1)
    assert not process_exists(ABOVE_ALL)
