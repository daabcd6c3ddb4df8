from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest

from router.rollout.cases.case import Case, Expectation, Request, encode_body, unsendable
from router.rollout.cases.comparison import CaseAnswer, ComparisonLimits, Result, differences, judge_answer
from tests.texts import golden

REQUEST = Request("POST", "/score", {"content-type": "application/json"}, body='{"x": 1}', body_bytes=8)
CASE = Case(REQUEST, by="rollback")
GOOD = CaseAnswer(200, 12.0, b'{"score": 0.5}')


def case(**expect: Any) -> Case:
    return replace(CASE, expect=Expectation(**expect))


@pytest.mark.parametrize(
    ("expect", "answer", "state", "problems"),
    [
        pytest.param({}, GOOD, "pass", [], id="no fault"),
        pytest.param({}, CaseAnswer(422, 1.0), "pass", [], id="a client error is no fault of the version"),
        pytest.param({}, CaseAnswer(500, 1.0), "fail", ["status 500, expected below 500"], id="a fault"),
        pytest.param({}, CaseAnswer(429), "fail", ["status 429: it had no room for the request; check again"], id="throttled"),
        pytest.param({}, CaseAnswer(error="no first byte within 3 s"), "fail", ["no first byte within 3 s"], id="no answer"),
        pytest.param({}, CaseAnswer(401), "skipped", ["status 401: it requires credentials, which cases never hold"], id="401"),
        pytest.param({"status": "401"}, CaseAnswer(401), "pass", [], id="401 as expected"),
        pytest.param({"status": "2xx"}, CaseAnswer(204), "pass", [], id="class"),
        pytest.param({"status": "2xx"}, CaseAnswer(404), "fail", ["status 404, expected 2xx"], id="another class"),
        pytest.param({"status": "422"}, CaseAnswer(422), "pass", [], id="one status"),
        pytest.param({"status": "422"}, CaseAnswer(421), "fail", ["status 421, expected 422"], id="another status"),
        pytest.param({"latency_ms_max": 12.0}, GOOD, "pass", [], id="in time"),
        pytest.param({"latency_ms_max": 11.0}, GOOD, "fail",
                     ["the first byte came after 12 ms, and 11 are allowed"], id="late"),
        pytest.param({"body": '{"score": 0.9}'}, GOOD, "pass", [], id="recorded, and equality is not asked for"),
        pytest.param({"body": '{"score": 0.9}', "equal": True}, GOOD, "fail", ["score: 0.5, recorded 0.9"], id="unequal"),
        pytest.param({"body": '{"score": 0.5004}', "equal": True}, GOOD, "pass", [], id="within the tolerance"),
        pytest.param({"body": '{"score": 0.5004}', "equal": True, "relative_tolerance": 1e-6}, GOOD, "fail",
                     ["score: 0.5, recorded 0.5004"], id="its own tolerance"),
        pytest.param({"body": '{"score": 0.9}', "equal": True, "ignore_paths": ("/score",)}, GOOD, "pass", [], id="ignored"),
        pytest.param({"body": "yes", "equal": True}, CaseAnswer(200, 1.0, b"no"), "fail",
                     ["the answer (2 bytes) is not the recorded one (3 bytes)"], id="no JSON"),
        pytest.param({"body_base64": "/w==", "equal": True}, CaseAnswer(200, 1.0, b"\xff"), "pass", [], id="bytes"),
        pytest.param({"body": "{}", "equal": True}, CaseAnswer(200, 1.0, b"{", complete=False), "fail",
                     ["the answer is longer than 1 bytes and is not compared"], id="too long to compare"),
    ],
)  # fmt: skip
def test_an_answer(expect: dict[str, Any], answer: CaseAnswer, state: str, problems: list[str]) -> None:
    found = judge_answer(case(**expect), answer, ComparisonLimits())
    assert (found.state, list(found.problems)) == (state, problems)


def test_settings_apply_where_the_case_has_none() -> None:
    limits = ComparisonLimits(
        latency_ms_max=10.0, equal=True, relative_tolerance=0.0, absolute_tolerance=0.0, ignore_paths=("/id",)
    )
    answer = replace(GOOD, body=b'{"score": 0.5, "id": 7}')
    assert list(judge_answer(case(body='{"score": 0.51, "id": 6}'), answer, limits).problems) == [
        golden("cases.late"),
        "score: 0.5, recorded 0.51",
    ]
    lenient = case(body='{"score": 0.51}', equal=False, latency_ms_max=100.0)
    assert judge_answer(lenient, answer, limits).state == "pass"


@pytest.mark.parametrize(("by", "state"), [("rollback", "skipped"), ("ann", "fail")])
@pytest.mark.parametrize("expected", ["2xx", "4xx"])
def test_only_a_captured_case_lacks_credentials(by: str, state: str, expected: str) -> None:
    """The captured request may have had some; who writes a case means what it says."""
    written = replace(case(status=expected), by=by)
    found = judge_answer(written, CaseAnswer(403), ComparisonLimits()).state
    assert found == ("pass" if by == "ann" and expected == "4xx" else state)


@pytest.mark.parametrize(
    ("wanted", "found", "told"),
    [
        pytest.param({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}, [], id="equal"),
        pytest.param(1, 1.0, [], id="integer and float"),
        pytest.param(1, True, ["the whole answer: true, recorded 1"], id="a truth value is no number"),
        pytest.param("1", 1, ['the whole answer: 1, recorded "1"'], id="a text is no number"),
        pytest.param(None, 0, ["the whole answer: 0, recorded null"], id="null"),
        pytest.param({"a": 1, "b": 2}, {"b": 3, "c": 4},
                     ["a: is missing", "c: is new", "b: 3, recorded 2"], id="members"),
        pytest.param([1, 2, 3], [1, 5], ["the whole answer: 2 items, recorded 3", "1: 5, recorded 2"], id="items"),
        pytest.param(0.0, 5e-7, [], id="close to zero"),
        pytest.param(1e9, 1.0005e9, [], id="relative to the larger"),
        pytest.param(1.0, 1.01, ["the whole answer: 1.01, recorded 1.0"], id="too far"),
        pytest.param({"t": {"id": 1}, "x": 1}, {"t": {"id": 2, "n": 1}, "x": 1}, [], id="what is ignored, below it too"),
        pytest.param({"x": "a" * 99}, {"x": "b"}, [f'x: "b", recorded "{"a" * 39}…'], id="long values are cut"),
    ],
)  # fmt: skip
def test_differences(wanted: Any, found: Any, told: list[str]) -> None:
    assert list(differences(wanted, found, 1e-3, 1e-6, ["/t/**"])) == told


def test_depth_is_no_trouble_and_problems_are_bounded() -> None:
    deep = orjson.loads(b'{"a":' * 1000 + b"1" + b"}" * 1000)
    other = orjson.loads(b'{"a":' * 1000 + b"2" + b"}" * 1000)
    assert len(list(differences(deep, other, 0, 0, ["/**/b"]))) == 1
    many = judge_answer(
        case(body=orjson.dumps(list(range(50))).decode(), equal=True), CaseAnswer(200, 1.0, b"[]"), ComparisonLimits()
    )
    assert len(many.problems) == 1
    wide = orjson.dumps({str(number): number for number in range(50)})
    assert (
        len(
            judge_answer(case(body=wide.decode(), equal=True), CaseAnswer(200, 1.0, b"{}"), ComparisonLimits()).problems
        )
        == 8
    )


@pytest.mark.parametrize(
    ("method", "by", "replay", "asked", "sent"),
    [
        pytest.param("GET", "rollback", "never", False, True, id="a safe method always"),
        pytest.param("POST", "rollback", "unsent", False, False, id="a POST not without the service's word"),
        pytest.param("POST", "rollback", "idempotent", False, False, id="it is not idempotent"),
        pytest.param("POST", "rollback", "always", False, True, id="with it"),
        pytest.param("DELETE", "rollback", "always", False, False, id="nothing is deleted weeks later"),
        pytest.param("DELETE", "rollback", "always", True, True, id="unless a person asks"),
        pytest.param("POST", "ann", "never", False, True, id="what a person wrote for it"),
    ],
)
def test_what_is_sent(method: str, by: str, replay: str, asked: bool, sent: bool) -> None:
    found = unsendable(Case(replace(REQUEST, method=method), by=by), replay, forced=asked)
    assert (found is None) is sent


def test_a_case_without_its_body_is_never_sent() -> None:
    lost = replace(CASE, request=replace(REQUEST, body=None))
    assert unsendable(lost, "always", forced=True) == golden("cases.body_not_kept")


def test_the_same_request_has_the_same_id() -> None:
    assert CASE.id == replace(CASE, by="ann", at=5.0, note="again").id
    others = [replace(REQUEST, method="PUT"), replace(REQUEST, target="/score?k=1"), replace(REQUEST, body='{"x": 2}')]
    assert len({CASE.id, *(Case(request).id for request in others)}) == 4
    as_base64 = replace(REQUEST, body=None, body_base64=base64.b64encode(b'{"x": 1}').decode())
    assert Case(as_base64).id == CASE.id
    assert len(CASE.id) == 12


def test_bytes_are_kept_as_text_or_as_base64() -> None:
    assert (encode_body(b"x"), encode_body(b"\xff")) == ({"body": "x"}, {"body_base64": "/w=="})


def test_a_result_as_plain_data() -> None:
    assert Result("c1", "pass", (), 200, 1.23456).as_dict() == {
        "id": "c1",
        "state": "pass",
        "problems": [],
        "status": 200,
        "first_byte_ms": 1.235,
    }
    assert Result("c1", "fail", ("nobody there",)).as_dict()["status"] is None
