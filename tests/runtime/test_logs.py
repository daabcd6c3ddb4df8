from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from router.runtime.logs import LogThrottle
from tests.hostile_text import HOSTILE, ORDINARY, found_in


def logged(script: str) -> str:
    """Return what a process whose log is set up writes when it runs `script`."""
    script = f"import json, logging, sys, threading\nfrom router.runtime.logs import setup\nsetup('worker 1')\n{script}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return done.stderr


def test_a_line_names_time_level_and_process() -> None:
    script = "import logging; from router.runtime.logs import setup; setup('worker 1'); logging.info('a'); logging.debug('b')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} INFO worker 1 a\n", done.stderr)


def test_one_line_in_ten_seconds_is_let_through() -> None:
    seldom = LogThrottle(10.0)
    assert [seldom.due(now_s) for now_s in (0.5, 1.0, 10.4, 10.5, 11.0, 30.0)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_a_record_is_one_printable_line() -> None:
    output = logged(f"logging.warning('told: %s', {HOSTILE!r} + '\\n2026-01-01T00:00:00.000 INFO worker 1 forged')")
    assert found_in(output) == []
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    "script",
    [
        "try:\n    raise ValueError(TOLD)\nexcept ValueError:\n    logging.exception('failed')",
        "raise ValueError(TOLD)",
        "thread = threading.Thread(target=lambda: int(TOLD)); thread.start(); thread.join()",
        "import warnings; warnings.warn(TOLD)",
    ],
    ids=["logged", "uncaught", "uncaught in a thread", "warning"],
)
def test_a_traceback_is_printable_and_forges_no_line(script: str) -> None:
    output = logged(f"TOLD = {HOSTILE!r} + '\\n2026-01-01T00:00:00.000 INFO worker 1 forged'\n{script}")
    assert found_in(output) == []
    first, *more = output.rstrip("\n").split("\n")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3} (ERROR|CRITICAL|WARNING) worker 1 ", first)
    assert all(line.startswith("  ") for line in more)


def test_json_in_a_line_stays_json_and_ordinary_words_stay() -> None:
    document = {"told": HOSTILE, "good": " ".join(ORDINARY)}
    output = logged(f"import orjson; logging.info('%s', orjson.dumps({document!r}).decode())")
    assert json.loads(output.partition("worker 1 ")[2]) == document
    assert " ".join(ORDINARY).replace("\\", "\\\\") in output
