from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from router.control.cases import redaction_process
from router.control.cases.redaction_process import RedactionJob, RedactionResult, decode, main, redact, run
from router.control.cases.search_limit import SearchLimit
from tests.control.cases.test_captures import record
from tests.texts import golden

SLOW = "(a+)+$"
SECRET = b'{"text":"' + b"a" * 40 + b'b secret"}'


def job(*payloads: bytes, patterns: tuple[str, ...] = ("secret",)) -> RedactionJob:
    return RedactionJob(("/name",), patterns, ("k",), payloads)


def test_a_job_goes_through_a_pipe_and_is_the_same() -> None:
    sent = job(record(b"\n\xff\n"), record(b""))
    read = decode(sent.encode())
    assert (read.paths, read.patterns, read.query, read.payloads) == (["/name"], ["secret"], ["k"], list(sent.payloads))


def test_the_process_redacts() -> None:
    result = run(job(record(b'{"name":"Ann","text":"a secret"}'), record(b"\xff")))
    assert [one.get("request") for one in result.requests] == [
        {"body": '{"name":"[redacted]","text":"a [redacted]"}'},
        None,
    ]
    assert (result.slow, result.why) == ([], "")


def test_a_slow_pattern_hides_the_texts_that_it_did_not_search_and_is_named() -> None:
    payloads = [record(SECRET) for _ in range(20)]
    result = run(job(*payloads, patterns=("secret", SLOW)))
    assert {one["request"]["body"] for one in result.requests} == {
        '{"[redacted]":"[redacted]"}',
        '{"text":"[redacted]"}',
    }
    assert (result.slow, result.why) == ([SLOW], "")


def test_what_is_left_after_the_time_of_a_job_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction_process, "JOB_S", -1.0)
    result = redact(job(record(SECRET)), SearchLimit())
    assert b"secret" not in orjson.dumps(result.requests)
    assert (result.requests[0]["complete"], result.why) == (False, golden("cases.search_spent"))


def _ended(code: int) -> Callable[..., Any]:
    return lambda *_, **__: SimpleNamespace(returncode=code, stdout=b"", stderr=b"")


def _raises(error: Exception) -> Callable[..., Any]:
    def start(*_: Any, **__: Any) -> None:
        raise error

    return start


@pytest.mark.parametrize(
    ("start", "why"),
    [
        pytest.param(
            _raises(subprocess.TimeoutExpired("x", 90)), "the process that redacts did not end within 90 s", id="late"
        ),
        pytest.param(
            _raises(OSError(11, "no process")), "the process that redacts cannot be started: no process", id="none"
        ),
        pytest.param(_ended(-signal.SIGXCPU), "the process that redacts used more than 40 s of CPU time", id="CPU"),
        pytest.param(_ended(1), "the process that redacts ended with 1", id="crashed"),
    ],
)
def test_without_a_result_everything_is_hidden(
    monkeypatch: pytest.MonkeyPatch, start: Callable[..., Any], why: str
) -> None:
    monkeypatch.setattr(subprocess, "run", start)
    result = run(job(record(SECRET, target="/secret")))
    assert b"secret" not in orjson.dumps(result.requests)
    assert (result.why, len(result.requests)) == (why, 1)


def test_the_process_ends_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Any] = []
    monkeypatch.setattr(redaction_process.resource, "setrlimit", lambda *given: limits.append(given))
    monkeypatch.setattr(redaction_process.os, "nice", limits.append)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(job(record()).encode())))
    out = SimpleNamespace(buffer=io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    assert main() == 0
    assert RedactionResult(*orjson.loads(out.buffer.getvalue())).slow == []
    assert limits == [(redaction_process.resource.RLIMIT_CPU, (40, 41)), 10]
