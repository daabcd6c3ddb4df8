from __future__ import annotations

from dataclasses import replace

import pytest

from router.rollout.drills.comparison import Performance
from router.rollout.drills.preconditions import Objection, SafetyRules, Situation, objections
from router.rollout.judge.verdict import TriggerResult

SAFE = Situation(active="v1", accepted=True, workers=2, recent=Performance(requests=500, faults=1))
FAILING = TriggerResult("error_rate", "", "fail", "observe", "9 of 50 failed")


def test_nothing_stands_against_it() -> None:
    assert objections(SAFE, SafetyRules()) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(
            {"under_way": "a-drill-3"}, Objection("drill_under_way", "drill a-drill-3 is not over"), id="another"
        ),
        pytest.param(
            {"active": None}, Objection("no_active_version", "there is no active version"), id="nothing serves"
        ),
        pytest.param({"frozen": "frozen by ann: gala"}, Objection("frozen", "frozen by ann: gala"), id="frozen"),
        pytest.param(
            {"proposal": "svc-rollback-1"},
            Objection("proposal_open", "proposal svc-rollback-1 waits for a decision"),
            id="a proposal",
        ),
        pytest.param({"unwell": "we failed"}, Objection("router_unwell", "we failed"), id="the router is unwell"),
        pytest.param({"workers": 0}, Objection("workers_behind", "no worker lives"), id="no worker"),
        pytest.param(
            {"workers_behind": (1,)},
            Objection("workers_behind", "workers [1] do not follow the present route"),
            id="a worker is behind",
        ),
        pytest.param({"gate": ("v2 is cold",)}, Objection("standby_not_ready", "v2 is cold"), id="the gate"),
        pytest.param(
            {"results": (FAILING,)},
            Objection("trigger_failing", "error_rate: 9 of 50 failed"),
            id="a trigger, even to watch",
        ),
        pytest.param(
            {"recent": Performance(requests=100, faults=2)},
            Objection(
                "error_budget_low",
                "2.00% of 100 requests failed in the last 300 s, and 1.00% is the limit (drill.fault_share_max)",
            ),
            id="too many faults lately",
        ),
        pytest.param({"accepted": False}, Objection("probation", "v1 is on probation", True), id="probation"),
        pytest.param(
            {"rollback": "rollback svc-1-4", "rollback_age_s": 60.0},
            Objection(
                "rolled_back_recently",
                "rollback svc-1-4 was 60 s ago, and 3600 s is the limit (drill.quiet_after_rollback_s)",
                True,
            ),
            id="a rollback of late",
        ),
        pytest.param(
            {"draining": "v9"}, Objection("draining", "v9 was rolled back and still drains", True), id="draining"
        ),
        pytest.param(
            {"candidate": "v3"}, Objection("candidate_verifying", "v3 is being verified", True), id="candidate"
        ),
    ],
)
def test_each_reason_has_its_name(change: dict[str, object], found: Objection) -> None:
    assert objections(replace(SAFE, **change), SafetyRules()) == [found]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"recent": Performance(requests=20, faults=1)}, id="one fault is no budget spent"),
        pytest.param({"recent": Performance()}, id="no traffic"),
        pytest.param({"rollback": "r", "rollback_age_s": 3600.0}, id="an hour ago"),
        pytest.param({"results": (replace(FAILING, state="inconclusive"),)}, id="a trigger that cannot say"),
    ],
)
def test_what_is_no_reason(change: dict[str, object]) -> None:
    assert objections(replace(SAFE, **change), SafetyRules()) == []  # type: ignore[arg-type]


def test_all_refusals_are_returned() -> None:
    many = replace(SAFE, frozen="frozen", accepted=False, candidate="v3", gate=("a", "b"))
    codes = ["frozen", "standby_not_ready", "standby_not_ready", "probation", "candidate_verifying"]
    assert [refusal.code for refusal in objections(many, SafetyRules())] == codes
