from __future__ import annotations

import re
import subprocess
import sys


def test_a_line_names_time_level_and_process() -> None:
    script = "import logging; from router.logs import setup; setup('worker 1'); logging.info('a'); logging.debug('b')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} INFO worker 1 a\n", done.stderr)
