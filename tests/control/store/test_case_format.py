from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.control.store.case_format import case_document, exported, imported, parsed
from router.errors import Refusal
from router.rollout.cases.case import Case, Expectation, Request
from tests.texts import golden

CAPTURED = Case(
    Request("POST", "/score", {"content-type": "application/json"}, '{"x": 1}', None, 8, True),
    Expectation("2xx", 250.0, None, '{"score": 0.5}', ignore_paths=("/id",), relative_tolerance=0.0),
    by="rollback",
    at=1_700_000_000.5,
    version="fraud-v8",
    incident="fraud-1-9",
    failed={"outcome": "server_error", "status": 500},
)
WRITTEN = Case(Request("GET", "/health"))
HEAD = b'{"schema":"rollback-router/cases","version":1,"service":"fraud"}\n'


def test_a_file_to_the_byte() -> None:
    assert exported([CAPTURED, WRITTEN], "fraud") == (
        HEAD + b'{"id":"%s","request":{"method":"POST","target":"/score","headers":{"content-type":"application/json"},'
        b'"body":"{\\"x\\": 1}","body_bytes":8,"redacted":true},'
        b'"expect":{"status":"2xx","latency_ms_max":250.0,"body":"{\\"score\\": 0.5}","relative_tolerance":0.0,'
        b'"ignore_paths":["/id"]},"by":"rollback","at":1700000000.5,"version":"fraud-v8","incident":"fraud-1-9",'
        b'"failed":{"outcome":"server_error","status":500}}\n'
        b'{"id":"%s","request":{"method":"GET","target":"/health"}}\n' % (CAPTURED.id.encode(), WRITTEN.id.encode())
    )


def test_what_was_exported_is_imported() -> None:
    assert imported(exported([CAPTURED, WRITTEN], "fraud")) == [CAPTURED, WRITTEN]
    assert imported(HEAD + b"\n\n") == []


def test_what_a_person_says_explicitly_is_kept() -> None:
    case = Case(Request("POST", "/", body="", headers={}), Expectation(equal=False, absolute_tolerance=0.0))
    assert case_document(case) == {
        "id": case.id,
        "request": {"method": "POST", "target": "/", "body": ""},
        "expect": {"equal": False, "absolute_tolerance": 0.0},
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"request": {}}, "request.method: Field required", id="missing"),
        pytest.param({"requst": 1}, "requst: there is no such member", id="unknown"),
        pytest.param({"request": {"method": "GET", "target": "/", "x": 1}}, "request.x: there is no such member", id="inner"),
        pytest.param({"request": {"method": 5, "target": "/"}}, "request.method: Input should be a valid string", id="kind"),
        pytest.param({"expect": {"equal": "yes"}}, "expect.equal: Input should be a valid boolean", id="no guessing"),
        pytest.param({"request": {"method": "G T", "target": "/"}},
                     "request.method: 'G T' is no method that is sent", id="method"),
        pytest.param({"request": {"method": "CONNECT", "target": "/"}},
                     "request.method: 'CONNECT' is no method that is sent", id="refused method"),
        pytest.param({"request": {"method": "GET", "target": "http://x/"}},
                     "request.target: 'http://x/' is no path with a query: write it as /v1/score?k=5", id="target"),
        pytest.param({"request": {"method": "GET", "target": "/\r\nX: y"}},
                     "request.target: '/\\r\\nX: y' is no path with a query: write it as /v1/score?k=5", id="target that splits"),
        pytest.param({"request": {"method": "GET", "target": "/", "headers": {"Cookie": "a"}}},
                     "request.headers.Cookie: holds credentials, which cases never keep: leave it out", id="credentials"),
        pytest.param({"request": {"method": "GET", "target": "/", "headers": {"TE": "a"}}},
                     "request.headers.TE: is set when the case is sent: leave it out", id="framing"),
        pytest.param({"request": {"method": "GET", "target": "/", "headers": {"a": "b\r\nc: d"}}},
                     "request.headers.a: has a control character, or more than 8192 characters", id="header that splits"),
        pytest.param({"request": {"method": "GET", "target": "/", "headers": {"a b": "c"}}},
                     "request.headers.a b: is no name of a header field", id="header name"),
        pytest.param({"request": {"method": "POST", "target": "/", "body": "a", "body_base64": "YQ=="}},
                     "request.body_base64: a body is text (body) or base64, not both", id="two bodies"),
        pytest.param({"request": {"method": "POST", "target": "/", "body_base64": "é"}},
                     "request.body_base64: is not base64", id="base64"),
        pytest.param({"request": {"method": "POST", "target": "/", "body": "a" * ((1 << 20) + 1)}},
                     "request.body: has 1048577 bytes, at most 1048576 are allowed", id="size"),
        pytest.param({"expect": {"status": "20x"}},
                     'expect.status: \'20x\': write "no_fault", a class as "2xx", or one as "200"', id="status"),
        pytest.param({"expect": {"latency_ms_max": -1}}, "expect.latency_ms_max: -1.0 is not a number from 0 on", id="negative"),
        pytest.param({"expect": {"ignore_paths": ["a.b"]}},
                     "expect.ignore_paths: 'a.b' is no JSON pointer: write /outputs/0/data, /outputs/*/data, or \"\" for the "
                     "whole body", id="path"),
        pytest.param({"note": "a\x1b[2J"}, "note: at most 500 printable characters", id="note"),
        pytest.param({"at": -5}, "at: -5.0 is no time in seconds since 1970", id="time"),
        pytest.param({"failed": {"x": "a" * 10_000}}, "failed: more than 10000 bytes", id="failed"),
    ],
)  # fmt: skip
def test_a_wrong_case_is_refused_by_line_and_member(change: dict[str, Any], told: str) -> None:
    line = orjson.dumps({"request": {"method": "GET", "target": "/"}, **change})
    with pytest.raises(Refusal) as caught:
        imported(HEAD + plain_line() + line + b"\n")
    assert (caught.value.code, caught.value.detail) == ("case_invalid", f"line 3: {told}")


def plain_line() -> bytes:
    return orjson.dumps(case_document(WRITTEN)) + b"\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(b"",
                     'line 1: schema: a file of cases begins with {"schema": "rollback-router/cases", "version": 1}', id="empty"),
        pytest.param(b'{"schema":"x","version":1}', "line 1: schema: a file of cases begins with", id="another schema"),
        pytest.param(b"[]", "line 1: schema:", id="another document"),
        pytest.param(HEAD.replace(b"1", b"2"), "line 1: version: 2, and this release reads version 1", id="newer"),
        pytest.param(b"{", "line 1: is no JSON:", id="no JSON"),
        pytest.param(HEAD + plain_line() + b'{"request"', "line 3: is no JSON:", id="cut"),
        pytest.param(HEAD + plain_line() * 10_001, "it has 10001 cases, at most 10000 are read", id="too many"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_whole(data: bytes, told: str) -> None:
    with pytest.raises(Refusal) as caught:
        imported(data)
    assert caught.value.code == "case_file_invalid"
    assert caught.value.detail.startswith(told)
    assert caught.value.detail.endswith("; nothing was imported")


@pytest.mark.parametrize("document", [None, 5, "x", [1]])
def test_what_is_no_object_is_no_case(document: object) -> None:
    with pytest.raises(Refusal):
        parsed(document)


def test_a_case_that_is_deeper_than_can_be_written_is_refused() -> None:
    line = b'{"request":{"method":"GET","target":"/"},"failed":' + b'{"a":' * 500 + b"1" + b"}" * 501
    with pytest.raises(Refusal) as caught:
        imported(HEAD + line)
    assert (caught.value.code, caught.value.detail) == (
        "case_invalid",
        golden("cases.unstorable_line"),
    )
