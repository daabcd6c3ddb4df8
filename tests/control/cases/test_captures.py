from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.cases.captures import CapturedRequests, CaptureTime, captures
from router.control.cases.failed_request import failed_request
from router.rollout.cases.redaction import redaction
from router.runtime import clock
from router.settings.sections.cases import Cases
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing
from router.shm.segment import Segment
from router.shm.settings_memory import Place
from tests.control.control_harness import new_segment, settings
from tests.waiting import until

MOMENT = CaptureTime(10_000_000_000, 1_700_000_000.0)


SLOW_PATTERN = "(a+)+$"


def attempt(version: str = "v2", outcome: str = "server_error", **more: Any) -> dict[str, Any]:
    plain = {"version": version, "slot": 1, "generation": 9, "endpoint": "http://h:1", "outcome": outcome}
    return plain | {"fault": True, "status": 500, "lasted_ms": 12.5} | more


GOOD = attempt("v1", "ok", fault=False, status=200)


def record(request: bytes = b'{"x": 1}', response: bytes = b"", **more: Any) -> bytes:
    document = {
        "method": "POST",
        "target": "/score?user=ann",
        "target_whole": True,
        "headers": {"content-type": "application/json", "x-request-id": "r1"},
        "request_id": "r1",
        "request_bytes": len(request),
        "request_whole": True,
        "outcome": "server_error",
        "attempts": [attempt()],
        "rescue": None,
        "response_headers": {},
        "complaint": None,
        "response_whole": bool(response),
        "request_kept": len(request),
        "response_kept": len(response),
    } | more
    return orjson.dumps(document) + b"\n" + request + response


@pytest.fixture
def segment() -> Segment:
    return new_segment()


def write(segment: Segment, *records: bytes, worker: int = 0, at_ns: int = 9_000_000_000, service: int = 0) -> None:
    for one in records:
        CaptureRing(segment, worker, at.CAPTURE_FAILURES).write(at_ns, service, one)


def read(
    segment: Segment, since_ns: int = 0, until_ns: int = 10**18, limit: int = 99, **settings: Any
) -> list[dict[str, Any]]:
    """Return the failures as `CapturedRequests.failures` does, but redacted in this process."""
    cases = Cases(**settings)
    rules = redaction(cases.redact_paths, cases.redact_patterns, cases.query)
    found = captures(segment, 0, since_ns, until_ns, limit)
    return [
        {"at": MOMENT.wall_of(one.at_ns), "at_ns": one.at_ns, **failed_request(one.payload, rules)} for one in found
    ]


def test_a_failure_as_plain_data(segment: Segment) -> None:
    write(segment, record(response=b"sorry"))
    assert read(segment) == [
        {
            "at": 1_699_999_999.0,
            "at_ns": 9_000_000_000,
            **attempt(),
            "method": "POST",
            "target": "/score?user=redacted",
            "headers": {"content-type": "application/json", "x-request-id": "r1"},
            "request_id": "r1",
            "fingerprint": None,
            "client": None,
            "request_bytes": 8,
            "complaint": None,
            "rescue": None,
            "response_headers": {},
            "request": {"body": '{"x": 1}'},
            "response": {"body": "sorry"},
            "redacted": True,
            "input_redacted": False,
            "response_redacted": False,
            "complete": True,
            "incomplete": "",
        }
    ]


def test_the_rings_of_all_workers_newest_first_within_a_time_and_a_number(segment: Segment) -> None:
    for number in range(6):
        write(segment, record(request_id=f"r{number}"), worker=number % 2, at_ns=number * 1000)
    write(segment, record(request_id="another service"), at_ns=3000, service=1)
    assert [one["request_id"] for one in read(segment, 1000, 4000)] == ["r4", "r3", "r2", "r1"]
    assert [one["request_id"] for one in read(segment, limit=2)] == ["r5", "r4"]


def test_nothing_secret_is_read(segment: Segment) -> None:
    headers = {"cookie": "s=1", "x-note": "card 4111", "authorization": "Bearer x"}
    write(
        segment, record(b'{"user":{"name":"Ann"},"card":"4111"}', b'{"name":"Ann"}', target="/u/4111", headers=headers)
    )
    (found,) = read(segment, redact_paths=["/**/name"], redact_patterns=["4111"])
    assert found["headers"] == {"x-note": "card [redacted]"}
    assert found["target"] == "/u/[redacted]"
    assert found["request"]["body"] == '{"user":{"name":"[redacted]"},"card":"[redacted]"}'
    assert found["response"]["body"] == '{"name":"[redacted]"}'
    assert found["redacted"]


def test_a_body_to_which_the_rules_do_not_apply_is_not_there(segment: Segment) -> None:
    write(segment, record(b"no JSON"), record(b"cut", request_whole=False))
    for found in read(segment, redact_paths=["/name"]):
        assert ("request" in found, found["complete"]) == (False, False)


async def test_services_are_found_by_name_and_settings_may_change(segment: Segment, tmp_path: Path) -> None:
    write(segment, record(b'{"name":"Ann"}'))
    captured = CapturedRequests(segment, settings(tmp_path))
    assert (await captured.failures("svc", 0, 10**18, 9))[0]["request"] == {"body": '{"name":"Ann"}'}
    captured.reconfigure(settings(tmp_path, cases={"redact_paths": ["/name"]}))
    assert (await captured.failures("svc", 0, 10**18, 9))[0]["request"] == {"body": '{"name":"[redacted]"}'}


async def test_failures_of_one_version(segment: Segment, tmp_path: Path) -> None:
    write(segment, record(request_id="r1"), record(request_id="r2", attempts=[attempt("v1")]))
    captured = CapturedRequests(segment, settings(tmp_path))
    assert [one["request_id"] for one in await captured.failures("svc", 0, 10**18, 9, "v1")] == ["r2"]
    assert len(await captured.failures("svc", 0, 10**18, 1, "v2")) == 1


async def test_a_pattern_that_takes_ages_does_not_hold_control_and_is_reported(
    segment: Segment, tmp_path: Path
) -> None:
    """In a thread of control it would hold the interpreter for hours: a search does not let other threads run."""
    write(segment, record(b'{"t":"%bb"}' % (b"a" * 40)))
    seen: list[tuple[str, list[str]]] = []
    cases = {"redact_patterns": [SLOW_PATTERN]}
    captured = CapturedRequests(
        segment, settings(tmp_path, cases=cases), lambda service, result: seen.append((service, result.slow))
    )
    reading = asyncio.ensure_future(captured.failures("svc", 0, 10**18, 9))
    turns_s: list[float] = []
    await until(lambda: turns_s.append(clock.now_s()) or reading.done())
    (found,) = await reading
    assert found["request"] == {"body": '{"t":"[redacted]"}'}
    assert seen == [("svc", [SLOW_PATTERN])]
    assert max(after_s - before_s for before_s, after_s in pairwise(turns_s)) < 1.0


async def test_a_caller_that_leaves_does_not_keep_the_next_from_reading(segment: Segment, tmp_path: Path) -> None:
    write(segment, record())
    captured = CapturedRequests(segment, settings(tmp_path, cases={"redact_paths": ["/name"]}))
    first = asyncio.ensure_future(captured.failures("svc", 0, 10**18, 9))
    await until(captured._turn.locked)
    first.cancel()
    assert len(await captured.failures("svc", 0, 10**18, 9)) == 1


async def test_captures_of_a_service_that_had_the_place_before_are_left_out(tmp_path: Path) -> None:
    segment = new_segment(3)
    ring = CaptureRing(segment, 0, at.CAPTURE_FAILURES)
    for at_ns in (10, 20):
        ring.write(at_ns, 2, record(target=f"/{at_ns}"))
    captured = CapturedRequests(segment, settings(tmp_path))
    captured.set_places({"svc": Place(2, 15)})
    assert [found["target"] for found in await captured.failures("svc", 0, 99, 10)] == ["/20"]
    captured.set_places({})
    assert await captured.failures("svc", 0, 99, 10) == []
    segment.close()
