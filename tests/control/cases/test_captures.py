from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.cases.captures import CapturedRequests, CaptureTime, cases_of, failures
from router.rollout.cases.case import Case, Expectation, Request
from router.settings.sections.cases import Cases
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing
from router.shm.segment import Segment
from tests.control.control_harness import new_segment, settings

MOMENT = CaptureTime(10_000_000_000, 1_700_000_000.0)


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
    return failures(segment, 0, Cases(**settings), since_ns, until_ns, limit, MOMENT)


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
            "complete": True,
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


def cases(segment: Segment, cases_max: int = 99, **settings: Any) -> list[Case]:
    return cases_of(read(segment, **settings), "v2", "svc-1-9", cases_max)


def test_a_case_of_a_failure(segment: Segment) -> None:
    write(segment, record(), record())
    assert cases(segment) == [
        Case(
            Request("POST", "/score?user=redacted", {"content-type": "application/json"}, '{"x": 1}', None, 8, True),
            Expectation("no_fault"),
            by="rollback",
            at=1_699_999_999.0,
            version="v2",
            incident="svc-1-9",
            failed={
                "outcome": "server_error",
                "status": 500,
                "complaint": None,
                "endpoint": "http://h:1",
                "lasted_ms": 12.5,
                "request_id": "r1",
            },
        )
    ]


def test_a_rescued_request_expects_what_the_standby_answered(segment: Segment) -> None:
    write(segment, record(b"", b'{"score": 0.5}', rescue=GOOD, attempts=[attempt(outcome="timed_out", status=None)]))
    assert cases(segment)[0].expect == Expectation("2xx", body='{"score": 0.5}')


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"attempts": [attempt("v1")]}, id="another version"),
        pytest.param({"attempts": [attempt(outcome="connect_failed", status=None)]}, id="nobody there"),
        pytest.param({"attempts": [attempt(), attempt("v1")]}, id="the other one failed too"),
        pytest.param({"rescue": attempt("v1", "timed_out")}, id="the rescue failed"),
        pytest.param({"request_whole": False}, id="a body that was not kept"),
        pytest.param({"target_whole": False}, id="a target that was cut"),
    ],
)
def test_what_makes_no_case(segment: Segment, changed: dict[str, Any]) -> None:
    write(segment, record(**changed))
    assert cases(segment) == []


@pytest.mark.parametrize(
    ("request_body", "changed", "rules"),
    [
        pytest.param(b"1", {"target": "/" + "4" * 1000}, {"redact_patterns": ["4"]}, id="a target that grew"),
        pytest.param(b"4" * 1000 + b"x", {"target": "/" + "\x80"}, {}, id="a target that is no ASCII"),
        pytest.param(
            b"[" + b",".join([b'"%b"' % (b"4" * 900)] * 130) + b"]",
            {},
            {"redact_patterns": ["4"]},
            id="a body that grew",
        ),
        pytest.param(b"1", {"headers": {"te": "trailers"}}, {}, id="a field that is ours to set"),
    ],
)
def test_what_could_not_be_read_again_makes_no_case(
    segment: Segment, request_body: bytes, changed: dict[str, Any], rules: dict[str, Any]
) -> None:
    write(segment, record(request_body, **changed))
    assert len(read(segment, **rules)) == 1
    assert cases(segment, **rules) == []


def test_of_every_kind_some(segment: Segment) -> None:
    for number in range(9):
        write(segment, record(b"%d" % number, target="/common"), at_ns=number)
    write(segment, record(b"0", target="/rare?a=b"), at_ns=1)
    write(segment, record(b"0", target="/common", attempts=[attempt(outcome="truncated")]), at_ns=2)
    assert [(case.request.target, case.failed["outcome"], case.request.body) for case in cases(segment, 4)] == [
        ("/common", "server_error", "8"),
        ("/common", "truncated", "0"),
        ("/rare?a=redacted", "server_error", "0"),
        ("/common", "server_error", "7"),
    ]
