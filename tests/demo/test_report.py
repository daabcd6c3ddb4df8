"""What the demo says it found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.demo.load import Load, RequestResult
from router.demo.report import Counts, DemoReport, counts
from tests.texts import golden

RESULTS = [
    RequestResult("ok", 10, 20, 200, "demo-v1"),
    RequestResult("http", 20, 30, 500, "demo-v2"),
    RequestResult("cut", 21, 35),
    RequestResult("gave_up", 22, 2022),
    RequestResult("ok", 30, 40, 200, "demo-v1"),
    RequestResult("ok", 31, 50, 200, "demo-v1"),
]
EXCHANGES = {"accepted": 6, "in_flight": 0, "ended": {"ok": 3, "server_error": 1, "truncated": 1, "client_gone": 1}}
REPORT = DemoReport(
    fault="errors",
    rolled_back=True,
    healthy_again=True,
    from_version="demo-v2",
    to_version="demo-v1",
    trigger="hard_failure",
    trigger_detail="errors",
    reason="12 of 12 attempts failed within 2 s",
    fault_to_detection_s=0.4,
    detection_to_confirmed_ms=1.25,
    fault_to_healthy_s=0.45,
    swap_us=90,
    generation=17,
    requests=1500,
    client_errors=12,
    late_answers=0,
    rescued=0,
    counts=counts(RESULTS, EXCHANGES),
    settings={},
)


def test_clients_and_router_agree_by_kind_of_ending() -> None:
    found = {"accepted": 6, "ok": 3, "gave_up": 1, "failed": 2}
    assert counts(RESULTS, EXCHANGES) == Counts(found, found, 0)
    assert REPORT.counts.agree


@pytest.mark.parametrize(
    "exchanges",
    [
        {**EXCHANGES, "accepted": 7},
        {**EXCHANGES, "in_flight": 1},
        {**EXCHANGES, "ended": {"ok": 4, "server_error": 1, "client_gone": 1}},
    ],
    ids=["one more accepted", "one in flight", "one ended otherwise"],
)
def test_any_difference_is_a_disagreement(exchanges: dict[str, object]) -> None:
    found = counts(RESULTS, exchanges)
    assert not found.agree
    assert not replace(REPORT, counts=found).good


def test_a_request_that_could_not_reach_the_router_is_no_disagreement() -> None:
    assert counts([*RESULTS, RequestResult("unreachable", 40, 41)], EXCHANGES).agree


def test_the_load_is_healthy_since_the_first_request_after_the_last_failed_one() -> None:
    load = Load("http://127.0.0.1:1", 1.0, 1.0)
    load.results = list(RESULTS)
    assert (load.healthy_since_ns(), load.healthy_for_s()) == (30, 20e-9)
    assert load.kinds() == {"ok": 3, "http": 1, "cut": 1, "gave_up": 1}
    load.results = [RequestResult("ok", 1, 2), RequestResult("http", 3, 4, 500)]
    assert (load.healthy_since_ns(), load.healthy_for_s()) == (None, 0.0)


def test_a_late_answer_is_no_error_and_no_sign_of_health() -> None:
    load = Load("http://127.0.0.1:1", 1.0, 1.0, late_after_s=10e-9)
    load.results = [
        RequestResult("ok", 1, 90, 200, "v2", first_byte_ns=80),
        RequestResult("ok", 100, 190, 200, "v1", first_byte_ns=109),
    ]
    assert (load.late(), load.healthy_since_ns()) == (1, 100)


def test_the_closing_sentence_says_what_why_how_many_and_how_long() -> None:
    assert REPORT.sentence() == (golden("demo.rolled_back"))


def test_late_answers_are_told() -> None:
    assert golden("demo.slow") in replace(REPORT, late_answers=70).sentence()


def test_without_a_rollback_the_sentence_says_so() -> None:
    failed = replace(REPORT, rolled_back=False, fault_to_detection_s=None)
    assert not failed.good
    assert failed.sentence() == (golden("demo.no_rollback"))


def test_the_json_document_has_every_promised_member() -> None:
    document = REPORT.as_dict()
    promised = {
        *("rolled_back", "from", "to", "trigger", "fault", "fault_to_detection_s", "detection_to_confirmed_ms"),
        *("swap_us", "requests", "client_errors", "rescued", "generation", "counts_agree", "settings"),
    }
    assert promised <= document.keys()
    assert (document["from"], document["to"], document["counts_agree"]) == ("demo-v2", "demo-v1", True)
