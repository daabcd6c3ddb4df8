from __future__ import annotations

import gzip
from typing import Any

import pytest

from router.control.cases.case_maker import RECORDED_BYTES_MAX, cases_of
from router.rollout.cases.case import Case, Expectation, Request
from router.shm.segment import Segment
from tests.control.cases.test_captures import GOOD, attempt, read, record, write
from tests.control.control_harness import new_segment


@pytest.fixture
def segment() -> Segment:
    return new_segment()


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


def rescued(status: int | None, outcome: str = "ok", fault: bool = False) -> dict[str, Any]:
    return {"attempts": [attempt()], "rescue": attempt("v1", outcome, fault=fault, status=status)}


@pytest.mark.parametrize(
    ("changed", "response", "expected"),
    [
        pytest.param(rescued(201), b"{}", Expectation("2xx", body="{}"), id="created"),
        pytest.param(rescued(302), b"", Expectation("3xx", body=""), id="a redirect"),
        pytest.param(rescued(422, "client_error"), b"no", Expectation("4xx", body="no"), id="a client error is right"),
        pytest.param(rescued(401, "client_error"), b"no", Expectation(), id="credentials, which cases never hold"),
        pytest.param(rescued(429, "throttled"), b"", Expectation(), id="it was busy"),
        pytest.param(rescued(200, "client_gone"), b"", Expectation(), id="the client left"),
        pytest.param(rescued(None, "saturated"), b"", Expectation(), id="it was full"),
        pytest.param(
            {"attempts": [attempt()]}, b"sorry", Expectation(), id="no rescue: a failing answer is not recorded"
        ),
        pytest.param(
            rescued(200) | {"response_headers": {"content-type": "text/event-stream; charset=utf-8"}},
            b"data: 1\n\n",
            Expectation("2xx", equal=False, body="data: 1\n\n"),
            id="a stream: its events differ each time",
        ),
        pytest.param(
            rescued(200) | {"response_headers": {"content-encoding": "gzip"}},
            gzip.compress(b"{}"),
            Expectation("2xx", body="{}"),
            id="compressed: a check asks for no encoding",
        ),
        pytest.param(
            rescued(200) | {"response_headers": {"content-encoding": "br"}}, b"?", Expectation("2xx"), id="unreadable"
        ),
        pytest.param(
            rescued(200) | {"response_headers": {"content-encoding": "gzip"}},
            gzip.compress(b" " * (RECORDED_BYTES_MAX + 1)),
            Expectation("2xx"),
            id="too long without its encoding",
        ),
        pytest.param(rescued(200) | {"response_whole": False}, b"", Expectation("2xx"), id="too long to be kept"),
    ],
)
def test_a_case_of_a_rescue_carries_what_the_standby_really_answered(
    segment: Segment, changed: dict[str, Any], response: bytes, expected: Expectation
) -> None:
    write(segment, record(response=response, **{"response_whole": True, **changed}))
    assert [case.expect for case in cases(segment)] == [expected]


def test_an_answer_in_which_something_was_redacted_is_not_compared(segment: Segment) -> None:
    write(segment, record(response=b'{"name":"Ann"}', **rescued(200)))
    assert cases(segment, redact_paths=["/name"])[0].expect == Expectation(
        "2xx", equal=False, body='{"name":"[redacted]"}'
    )


@pytest.mark.parametrize(
    ("target", "body", "settings", "equal"),
    [
        pytest.param("/score", b'{"name":"Ann"}', {"redact_paths": ["/name"]}, False, id="body"),
        pytest.param("/score", b'{"name":"Ann"}', {"redact_patterns": ["Ann"]}, False, id="text of the body"),
        pytest.param("/users/Ann", b"{}", {"redact_patterns": ["Ann"]}, False, id="path"),
        pytest.param("/score", b'{"name":"Ann"}', {"redact_paths": ["/mail"]}, None, id="nothing replaced"),
        pytest.param("/score?user=7", b"{}", {"redact_patterns": ["Ann"]}, None, id="query"),
    ],
)
def test_the_answer_to_a_request_that_was_redacted_is_no_fault_and_not_compared(
    segment: Segment, target: str, body: bytes, settings: dict[str, Any], equal: bool | None
) -> None:
    write(segment, record(body, b'{"score": 0.5}', target=target, **rescued(200)))
    assert [case.expect for case in cases(segment, **settings)] == [
        Expectation("2xx" if equal is None else "no_fault", equal=equal, body='{"score": 0.5}')
    ]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"attempts": [attempt("v1")]}, id="another version"),
        pytest.param({"attempts": [attempt(outcome="connect_failed", status=None)]}, id="no connection"),
        pytest.param({"attempts": [attempt(), attempt("v1")]}, id="the other one failed too"),
        pytest.param({"rescue": attempt("v1", "timed_out")}, id="the rescue failed"),
        pytest.param({"headers_whole": False}, id="a field without which the body cannot be read"),
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
