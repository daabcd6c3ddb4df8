from __future__ import annotations

from dataclasses import replace

import pytest

from router.rollout.cases.promotion_check import PromotionCheck, SuiteResult
from router.rollout.model.target import State, Target

TARGET = Target("v3", ("http://h:1",), State.READY, 0, 0.0, deployment=5)
PASSED = SuiteResult("v3", 5, "2-abc", 2, 0, ())
FAILED = replace(PASSED, failed=12, cases=20, failing=tuple(f"c{number}" for number in range(12)))


def proof(checked: SuiteResult | None, required: bool = True, revision: str = "2-abc") -> PromotionCheck:
    return PromotionCheck(required, revision, {checked.version: checked} if checked else {})


@pytest.mark.parametrize(
    ("known", "code"),
    [
        pytest.param(proof(PASSED), None, id="passed"),
        pytest.param(proof(None, revision=""), None, id="no cases"),
        pytest.param(proof(None, required=False), None, id="not required"),
        pytest.param(proof(FAILED, required=False), None, id="failing, not required"),
        pytest.param(proof(None), "cases_pending", id="not checked"),
        pytest.param(proof(FAILED), "cases_failing", id="failing"),
        pytest.param(proof(replace(PASSED, deployment=4)), "cases_pending", id="an earlier deployment"),
        pytest.param(proof(replace(PASSED, revision="1-abc")), "cases_pending", id="another suite"),
        pytest.param(proof(replace(PASSED, version="v2")), "cases_pending", id="another version"),
        pytest.param(PromotionCheck(), None, id="nothing is known"),
        pytest.param(replace(proof(PASSED), stale=True), "cases_pending", id="passed, but the suite has changed since"),
        pytest.param(PromotionCheck(True, stale=True), "cases_pending", id="the suite was not read yet"),
        pytest.param(PromotionCheck(False, stale=True), None, id="not read yet, not required"),
    ],
)
def test_a_promotion(known: PromotionCheck, code: str | None) -> None:
    refusal = known.refusal(TARGET)
    assert (refusal.code if refusal else None) == code


def test_the_refusal_names_some_of_the_failing_cases() -> None:
    refusal = proof(FAILED).refusal(TARGET)
    assert refusal is not None
    assert refusal.detail.startswith("12 of 20 cases fail on v3: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, …; repair it")


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        (proof(None), True),
        (proof(PASSED), False),
        (proof(FAILED), False),
        (proof(None, revision=""), False),
        (replace(proof(PASSED), stale=True), True),
    ],
)
def test_a_check_is_wanted(known: PromotionCheck, wanted: bool) -> None:
    assert known.is_pending(TARGET) is wanted


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        pytest.param(proof(PASSED), (True, "2 of 2 cases passed"), id="passed"),
        pytest.param(proof(FAILED), (False, "8 of 20 cases passed"), id="failing"),
        pytest.param(proof(replace(PASSED, revision="1-abc")), (True, "2 of 2 cases passed"), id="cases came later"),
        pytest.param(proof(replace(PASSED, deployment=4)), None, id="an earlier deployment"),
        pytest.param(proof(None), None, id="never checked"),
        pytest.param(proof(None, revision=""), (True, "there are no cases"), id="no cases"),
        pytest.param(PromotionCheck(True, stale=True), None, id="the suite was not read yet"),
    ],
)
def test_the_criteria_of_acceptance(known: PromotionCheck, shown: tuple[bool, str] | None) -> None:
    assert known.last_result(TARGET) == shown
