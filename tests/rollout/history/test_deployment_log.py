from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.rollout.facts.entry import Entry
from router.rollout.history.deployment_log import (
    ENTRIES_MAX,
    DeploymentLog,
    DeploymentSummary,
    StandbyPeriod,
    Timestamp,
)
from router.rollout.history.period import Period

HOUR_S = 3600.0
START_S = 1_700_000_000.0


class DeploymentScenario:
    """Facts of one service, told in hours since the start; each has the next generation and number."""

    def __init__(self, boot: int = 1, entries_max: int = ENTRIES_MAX) -> None:
        self.log = DeploymentLog("svc", entries_max)
        self.entries: list[Entry] = []
        self.boot = boot

    def tell(self, kind: str, at_h: float, service: str = "svc", **data: Any) -> DeploymentScenario:
        seq = len(self.entries) + 1
        at_s = at_h * HOUR_S
        data.setdefault("generation", seq)
        entry = Entry.of(kind, service, "ann", data, START_S + at_s, int(at_s * 1e9), self.boot, seq)
        self.entries.append(entry)
        self.log.add(entry)
        return self

    def seed(self, at_h: float = 0, standby: bool = True) -> DeploymentScenario:
        self.tell("seeded", at_h, states={"v1": "active"})
        return self.tell("seeded", at_h, states={"v0": "standby"}) if standby else self

    def deploy(self, at_h: float, version: str, over: str, drains: str = "") -> DeploymentScenario:
        """Bring `version` in and promote it; `over` becomes the standby."""
        self.tell("version_deployed", at_h - 0.2, states={version: "verifying"})
        self.tell("version_verified", at_h - 0.1, states={version: "ready"})
        states = {version: "active", over: "standby"} | ({drains: "draining"} if drains else {})
        return self.tell("promoted", at_h, **{"from": over}, to=version, states=states)

    def roll_back(
        self, at_h: float, left: str, to: str, found_after_s: float | None = 12.0, confirmed_ms: float | None = 8.0
    ) -> DeploymentScenario:
        since_ns = None if found_after_s is None else int((at_h * HOUR_S - found_after_s) * 1e9)
        trigger = {"kind": "hard_failure", "detail": "errors", "evidence_since_ns": since_ns, "reason": "bad"}
        self.tell(
            "rolled_back", at_h, **{"from": left}, to=to, incident=f"svc-{at_h:g}", automatic=found_after_s is not None,
            trigger=trigger if since_ns else None, states={to: "active", left: "draining"},
        )  # fmt: skip
        result = {"swap_us": 2_000, "confirmed_ms": confirmed_ms}
        self.tell("confirmed", at_h, generation=len(self.entries), **result)
        return self.tell("drained", at_h + 0.01, states={left: "retired"}, freed=[left])

    @property
    def summary(self) -> DeploymentSummary:
        return self.log.summary()

    def held(self, since_h: float = 0, until_h: float = 1000) -> float:
        """Hours with a standby between two times, seen at hour 1000."""
        period = Period(START_S + since_h * HOUR_S, START_S + until_h * HOUR_S)
        now = Timestamp(START_S + 1000 * HOUR_S, int(1000 * HOUR_S * 1e9), self.boot)
        return round(sum(one.seconds_in(period, now) for one in self.summary.standby_periods) / HOUR_S, 6)


def test_a_deployment_that_was_rolled_back_and_one_that_stands() -> None:
    scenario = DeploymentScenario().seed().deploy(10, "v2", "v1", "v0").roll_back(11, "v2", "v1").deploy(20, "v3", "v1")
    summary = scenario.summary
    assert [(made.version, made.ended_by is not None) for made in summary.deployments] == [("v2", True), ("v3", False)]
    (rollback,) = summary.rollbacks
    assert summary.deployments[0].ended_by == rollback
    assert (rollback.left, rollback.to, rollback.incident, rollback.automatic, rollback.trigger) == (
        "v2", "v1", "svc-11", True, "hard_failure.errors",
    )  # fmt: skip
    assert rollback.detect_s == 12.0
    assert rollback.restore_s == pytest.approx(12.0 + 0.002 + 0.008)
    assert summary.begun_at == START_S
    assert summary.complete


def test_to_go_to_a_version_that_served_before_is_no_deployment() -> None:
    scenario = DeploymentScenario().seed().deploy(1, "v2", "v1", "v0")
    scenario.tell("switched", 2, **{"from": "v2"}, to="v1", states={"v1": "active", "v2": "standby"})
    scenario.tell("promoted", 3, **{"from": "v1"}, to="v2", states={"v2": "active", "v1": "standby"})
    assert [made.version for made in scenario.summary.deployments] == ["v2"]
    assert [at - START_S for at in scenario.summary.back_and_forth] == [2 * HOUR_S, 3 * HOUR_S]
    scenario.roll_back(4, "v2", "v1", found_after_s=None)
    (deployment,) = scenario.summary.deployments
    assert deployment.ended_by is not None
    assert (deployment.ended_by.automatic, deployment.ended_by.trigger) == (False, "an operator")
    assert (deployment.ended_by.detect_s, deployment.ended_by.restore_s) == (None, None), "nobody knows since when"


def test_a_version_that_comes_again_is_another_deployment() -> None:
    scenario = DeploymentScenario().seed().deploy(1, "v2", "v1", "v0").roll_back(2, "v2", "v1").deploy(3, "v2", "v1")
    assert [made.ended_by is not None for made in scenario.summary.deployments] == [True, False]
    scenario.roll_back(4, "v2", "v1")
    assert [made.ended_by is not None for made in scenario.summary.deployments] == [True, True]


def test_a_version_that_came_back_and_failed_again_is_still_one_failed_deployment() -> None:
    scenario = DeploymentScenario().seed().deploy(1, "v2", "v1", "v0").roll_back(2, "v2", "v1")
    scenario.tell("standby_restored", 3, states={"v2": "standby"})
    scenario.tell("switched", 4, **{"from": "v1"}, to="v2", states={"v2": "active", "v1": "standby"}).roll_back(
        5, "v2", "v1"
    )
    (deployment,) = scenario.summary.deployments
    assert deployment.ended_by == scenario.summary.rollbacks[0], "what ended it first"
    assert len(scenario.summary.rollbacks) == 2


def test_a_rollback_of_what_was_seeded_is_no_failed_change() -> None:
    summary = DeploymentScenario().seed().roll_back(1, "v1", "v0").summary
    assert (summary.deployments, len(summary.rollbacks)) == ((), 1)


def test_an_unconfirmed_restore_is_unknown() -> None:
    (rollback,) = DeploymentScenario().seed().roll_back(1, "v1", "v0", confirmed_ms=None).summary.rollbacks
    assert (rollback.detect_s, rollback.restore_s) == (12.0, None)


def test_a_drill_moves_roles_and_counts_as_nothing_else() -> None:
    scenario = DeploymentScenario().seed().deploy(1, "v2", "v1", "v0")
    ends = {"from": "v2", "to": "v1"}
    scenario.tell("drill_switched", 2, drill="d1", states={"v1": "active", "v2": "standby"}, **ends)
    ends = {"from": "v1", "to": "v2"}
    scenario.tell("drill_switched", 2.1, drill="d1", home=True, states={"v2": "active", "v1": "standby"}, **ends)
    summary = scenario.summary
    assert (len(summary.deployments), summary.back_and_forth, summary.rollbacks) == (1, (), ())
    assert scenario.held() == 1000, "and there was always a standby"


def test_what_never_became_true_counts_as_nothing() -> None:
    scenario = DeploymentScenario().seed().deploy(1, "v2", "v1", "v0")
    scenario.tell("abandoned", 1, abandons=len(scenario.entries))
    assert scenario.summary.deployments == ()
    overtaken = DeploymentScenario().seed().deploy(1, "v2", "v1", "v0")
    overtaken.tell(
        "rolled_back", 1, **{"from": "v1"}, to="v0", incident="i", automatic=True, base=4, states={"v0": "active"}
    )
    assert overtaken.summary.deployments == ()
    assert len(overtaken.summary.rollbacks) == 1


def test_a_rollback_whose_reason_died_with_control_is_one_without_times() -> None:
    scenario = DeploymentScenario().seed().deploy(1, "v2", "v1", "v0")
    mark = {"v2": {"reason": "it was rolled back, and control died", "incident": None}}
    scenario.tell("recovered", 2, states={"v1": "active", "v2": "draining"}, quarantine=mark, forced=True)
    (rollback,) = scenario.summary.rollbacks
    assert (rollback.left, rollback.to, rollback.automatic, rollback.trigger, rollback.detect_s) == (
        "v2", "v1", True, "unknown", None,
    )  # fmt: skip
    assert scenario.summary.deployments[0].ended_by == rollback


def test_facts_of_others_and_of_other_kinds_say_nothing() -> None:
    scenario = DeploymentScenario().seed()
    scenario.tell("promoted", 1, service="other", to="v9", states={"v9": "active"})
    scenario.tell("frozen", 2, reason="look")
    scenario.tell("boot", 3, service="", boot=2)
    assert len(scenario.summary.standby_periods) == 1
    assert scenario.summary.deployments == ()


@pytest.mark.parametrize(
    ("since_h", "until_h", "hours"),
    [(0, 1000, 992), (0, 10, 10), (0, 12, 11), (11.5, 12, 0), (15, 20, 1), (990, 1000, 10)],
)
def test_hours_with_a_standby(since_h: float, until_h: float, hours: float) -> None:
    """v0 stood by from 0 to 10, v1 from 10 to 11; nobody from 11 to 19; v1 from 19 on."""
    scenario = DeploymentScenario().seed().deploy(10, "v2", "v1", "v0").roll_back(11, "v2", "v1").deploy(19, "v3", "v1")
    assert scenario.held(since_h, until_h) == hours


def test_hours_are_those_of_the_clock_that_does_not_jump() -> None:
    begun = Timestamp(START_S, 0, 1)
    period = Period(START_S - 10 * HOUR_S, START_S + 10 * HOUR_S)
    # Two hours later the wall clock stands where it stood one hour after the beginning.
    ended = Timestamp(START_S + HOUR_S, int(2 * HOUR_S * 1e9), 1)
    assert StandbyPeriod("v1", begun, ended).seconds_in(period, ended) == 2 * HOUR_S
    assert StandbyPeriod("v1", begun, None).seconds_in(period, ended) == 2 * HOUR_S
    after_a_boot = replace(ended, boot=2, monotonic_ns=5)
    assert StandbyPeriod("v1", begun, after_a_boot).seconds_in(period, ended) == HOUR_S
    set_back = replace(after_a_boot, at=START_S - HOUR_S)
    assert StandbyPeriod("v1", begun, set_back).seconds_in(period, ended) == 0


def test_the_log_is_bounded_and_marked_incomplete() -> None:
    scenario = DeploymentScenario(entries_max=50).seed()
    for round_number in range(30):
        scenario.deploy(1 + round_number, f"v{2 + round_number}", f"v{1 + round_number}", f"v{round_number}")
    summary = scenario.summary
    assert len(scenario.log) <= 56
    assert not summary.complete
    assert [made.version for made in summary.deployments][-1] == "v31"
    assert scenario.held(29.5, 30) == 0.5
