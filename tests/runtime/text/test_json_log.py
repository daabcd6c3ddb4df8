"""Every event of a process whose log is JSON is one line of valid JSON: messages, tracebacks, warnings, libraries."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.hostile_text import HOSTILE, found_in

START = "import logging, sys, threading\nfrom router.runtime.logs import setup\nsetup('worker-1', 'json')\n"


def lines(script: str) -> list[dict[str, Any]]:
    """Return the lines that a process writes when it runs `script`."""
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, text=True, check=False)
    assert found_in(done.stderr) == []
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_has_time_level_process_logger_and_message() -> None:
    [line] = lines("logging.getLogger('router.a').warning('%s of %d', 'one', 2); logging.debug('not shown')")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "warning", "process": "worker-1", "logger": "router.a", "message": "one of 2"}


def test_a_record_may_have_members_of_its_own() -> None:
    script = "from router.runtime.text.json_log import members\nlogging.error('x', extra=members(event='alarm', service=None))"
    [line] = lines(script)
    assert (line["message"], line["event"], line["service"]) == ("x", "alarm", None)


def test_members_can_be_the_message() -> None:
    [line] = lines(
        "from router.runtime.text.json_log import Fields\nlogging.info(Fields('GET / 200', {'status': 200}))"
    )
    assert (line["message"], line["status"]) == ("GET / 200", 200)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        pytest.param(
            "try:\n    raise ValueError(TEXT)\nexcept ValueError:\n    logging.exception('failed')",
            "ValueError",
            id="logged",
        ),
        pytest.param("raise ValueError(TEXT)", "ValueError", id="uncaught"),
        pytest.param(
            "t = threading.Thread(target=lambda: int(TEXT)); t.start(); t.join()", "ValueError", id="in a thread"
        ),
        pytest.param(
            "import asyncio\nasync def main():\n    loop = asyncio.get_running_loop()\n"
            "    loop.call_soon(lambda: int(TEXT))\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)\nasyncio.run(main())",
            "ValueError",
            id="in a callback of asyncio",
        ),
        pytest.param(
            "import uvloop, asyncio\nasync def main():\n    loop = asyncio.get_running_loop()\n"
            "    loop.call_soon(lambda: int(TEXT))\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)\nuvloop.run(main())",
            "ValueError",
            id="in a callback of uvloop",
        ),
    ],
)
def test_a_traceback_is_a_member(script: str, kind: str) -> None:
    [line] = lines(f"TEXT = {HOSTILE!r} + '\\n{{}}'\n{script}")
    assert line["exception"]["type"] == kind
    assert line["exception"]["stack"].startswith("Traceback (most recent call last):\n")
    assert line["exception"]["message"] in line["exception"]["stack"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param("import warnings; warnings.warn('old')", "UserWarning: old", id="a warning"),
        pytest.param("logging.error('%d files', 'many')", "%d files ('many',)", id="arguments that do not fit"),
        pytest.param("logging.error('%(a)s', {'b': 1})", "%(a)s {'b': 1}", id="a missing argument"),
        pytest.param("logging.error({'a': b'1'})", "{'a': b'1'}", id="no text"),
        pytest.param("logging.error('\\ud800\\x00')", "\ud800\x00", id="what UTF-8 cannot say"),
        pytest.param("logging.error('a', stack_info=True)", "a", id="with a stack"),
    ],
)
def test_a_message_of_a_library_is_valid(script: str, message: str) -> None:
    [line] = lines(script)
    assert message in line["message"]


def test_a_value_that_is_no_json_is_shown_as_text() -> None:
    script = "from router.runtime.text.json_log import members\nlogging.info('x', extra=members(a={1, }, b=2 ** 70))"
    [line] = lines(script)
    assert line["a"] == "{1}"
    assert line["b"] in (2**70, str(2**70))


def test_the_format_can_change() -> None:
    done = subprocess.run(
        [sys.executable, "-c", START + "logging.info('a'); setup('worker-1'); logging.info('b')"],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stderr.splitlines()
    assert json.loads(first)["message"] == "a"
    assert second.endswith(" INFO worker-1 b")
