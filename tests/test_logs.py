from __future__ import annotations

import re
import subprocess
import sys

from router.logs import Seldom


def test_a_line_names_time_level_and_process() -> None:
    script = "import logging; from router.logs import setup; setup('worker 1'); logging.info('a'); logging.debug('b')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} INFO worker 1 a\n", done.stderr)


def test_one_line_in_ten_seconds_is_let_through() -> None:
    seldom = Seldom(10.0)
    assert [seldom.due(now_s) for now_s in (0.5, 1.0, 10.4, 10.5, 11.0, 30.0)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
