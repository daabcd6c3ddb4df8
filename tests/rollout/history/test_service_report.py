"""One scenario, computed by hand: a week of one service, known from noon of the first day on.

hours 0 to 12    no facts and no rows: the router began at noon
hour  36         v2 deployed over v1, which stands by from then on
hour  37         v2 rolled back by error_rate: found 40 s after its first fault, confirmed 10 ms later; no standby
hour  60         v3 deployed over v1
hour  61         v3 rolled back by a person
hour  84         v4 deployed over v1, and stands
hour  100        switched back to v1 and forth again: no deployment
"""

from __future__ import annotations

import pytest

from router.rollout.history.deployment_log import DeploymentSummary, Timestamp
from router.rollout.history.period import Period
from router.rollout.history.service_report import Price, Totals, report
from router.rollout.outcome import OUTCOMES, Outcome
from tests.rollout.history.test_deployment_log import HOUR_S, START_S, DeploymentScenario

WEEK_S = 604_800.0
MONDAY_S = START_S - 12 * HOUR_S
PERIOD = Period(MONDAY_S, MONDAY_S + WEEK_S)
NOW = Timestamp(PERIOD.until_s, int((WEEK_S - 12 * HOUR_S) * 1e9), 1)


def outcomes(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(outcome.label, 0) for outcome in OUTCOMES)


def scenario() -> DeploymentSummary:
    scenario = (
        DeploymentScenario().seed(standby=False).deploy(24, "v2", "v1").roll_back(25, "v2", "v1", found_after_s=40)
    )
    scenario.deploy(48, "v3", "v1").roll_back(49, "v3", "v1", found_after_s=None).deploy(72, "v4", "v1")
    scenario.tell("switched", 88, **{"from": "v4"}, to="v1", states={"v1": "active", "v4": "standby"})
    scenario.tell("promoted", 89, **{"from": "v1"}, to="v4", states={"v4": "active", "v1": "standby"})
    return scenario.summary


TOTALS = Totals(
    rows=50_000,
    seconds=500_000.0,
    accepted=1_000_200,
    rescued=70,
    outcomes=outcomes(ok=997_000, server_error=900, connect_failed=60, truncated=20, cut=15, saturated=5,
                      client_error=2_000, throttled=50, client_gone=100, refused=50),
    good_s=399_000.0,
    bad_s=1_000.0,
    idle_s=100_000.0,
    within_s=297_000.0,
    outside_s=3_000.0,
    undecided_s=200_000.0,
)  # fmt: skip


def test_the_figures_are_those_computed_by_hand() -> None:
    found = report("svc", PERIOD, TOTALS, scenario(), 0.02, Price(1.5, "EUR"), NOW)
    assert found["coverage"] == {"rows": 50_000, "seconds": 500_000.0, "share": pytest.approx(500_000 / 604_800)}
    assert found["uptime"]["requests"] == 998_000
    assert found["uptime"]["failed"] == 1_000
    assert found["uptime"]["share"] == pytest.approx(997_000 / 998_000)
    assert 0.9989 < found["uptime"]["at_least"] < found["uptime"]["share"]
    assert found["uptime_by_time"] == {
        "share": 0.9975, "seconds": 400_000.0, "bad_s": 1_000.0, "idle_s": 100_000.0, "fault_share_max": 0.02,
    }  # fmt: skip
    assert found["stability"]["share"] == 0.99
    # Three deployments in the six and a half days that are known.
    assert found["known_since_s"] == START_S
    assert found["deployments"]["count"] == 3
    assert found["deployments"]["per_week"] == pytest.approx(3 / 6.5 * 7)
    assert found["deployments"]["days"] == 6.5
    assert found["deployments"]["back_and_forth"] == 2
    assert found["change_failures"]["share"] == pytest.approx(2 / 3)
    assert (found["change_failures"]["failed"], found["change_failures"]["unreachable"]) == (2, 0)
    assert found["rollbacks"] == {"automatic": 1, "manual": 1, "incidents": ["svc-25", "svc-49"]}
    assert found["time_to_detect"] == {"median_s": 40.0, "p95_s": 40.0, "n": 1, "rollbacks": 2}
    assert found["time_to_restore"]["median_s"] == pytest.approx(40.010)
    # Hours 24 to 25, 48 to 49, and from 72 to the end, which is hour 156 of the story.
    assert found["standby"] == {
        "hours": pytest.approx(1 + 1 + 84), "price_per_hour": 1.5, "cost": pytest.approx(129.0), "currency": "EUR",
    }  # fmt: skip


def test_of_a_part_only_what_lies_in_it() -> None:
    part = Period(START_S + 40 * HOUR_S, START_S + 73 * HOUR_S)
    found = report("svc", part, Totals(), scenario(), 0.02, Price(), NOW)
    assert found["deployments"]["count"] == 2
    assert found["deployments"]["days"] == 33 / 24
    assert found["change_failures"]["share"] == 0.5
    assert found["rollbacks"] == {"automatic": 0, "manual": 1, "incidents": ["svc-49"]}
    assert found["standby"]["hours"] == pytest.approx(2)


def test_a_few_hours_are_not_extrapolated_to_a_week() -> None:
    hours = Period(START_S + 22 * HOUR_S, START_S + 26 * HOUR_S)
    found = report("svc", hours, Totals(), scenario(), 0.02, Price(), NOW)
    assert (found["deployments"]["count"], found["deployments"]["per_week"]) == (1, None)


def test_without_data_there_are_no_numbers() -> None:
    found = report("svc", PERIOD, Totals(), DeploymentScenario().summary, 0.02, Price(), NOW)
    assert found["uptime"]["share"] is None
    assert found["uptime"]["at_least"] is None
    assert found["uptime_by_time"]["share"] is None
    assert found["stability"]["share"] is None
    assert found["change_failures"]["share"] is None
    assert found["change_failures"]["between"] is None
    assert found["time_to_detect"] == {"median_s": None, "p95_s": None, "n": 0, "rollbacks": 0}
    assert found["standby"] == {"hours": 0, "price_per_hour": None, "cost": None, "currency": None}


def test_little_data_has_wide_bounds() -> None:
    one = DeploymentScenario().seed().deploy(24, "v2", "v1", "v0").summary
    found = report("svc", PERIOD, Totals(outcomes=outcomes(ok=20)), one, 0.02, Price(), NOW)
    assert found["uptime"]["share"] == 1.0
    assert found["uptime"]["at_least"] == pytest.approx(0.05 ** (1 / 20))
    assert found["change_failures"]["between"] == [0.0, pytest.approx(0.975)]


@pytest.mark.parametrize(
    ("times", "median_s", "p95_s"),
    [
        ([3.0], 3.0, 3.0),
        ([1.0, 2.0], 1.5, 2.0),
        ([5.0, 1.0, 3.0], 3.0, 5.0),
        ([float(number) for number in range(1, 101)], 50.5, 95.0),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, list) else "",
)
def test_median_and_p95_of_few(times: list[float], median_s: float, p95_s: float) -> None:
    scenario = DeploymentScenario().seed()
    for number, after_s in enumerate(times):
        scenario.deploy(1 + number, f"w{number}", "v1").roll_back(1.5 + number, f"w{number}", "v1", after_s)
    found = report("svc", PERIOD, Totals(), scenario.summary, 0.02, Price(), NOW)
    assert found["time_to_detect"] == {"median_s": median_s, "p95_s": p95_s, "n": len(times), "rollbacks": len(times)}


def test_every_end_is_counted_or_is_not() -> None:
    """What an outcome means for uptime is decided for each of them, and a new one has to be decided, too."""
    neutral = {Outcome.CLIENT_ERROR, Outcome.THROTTLED, Outcome.CLIENT_GONE, Outcome.REFUSED}
    for outcome in OUTCOMES:
        found = report("svc", PERIOD, Totals(outcomes=outcomes(**{outcome.label: 3})), scenario(), 0.02, Price(), NOW)
        expected = None if outcome in neutral else 1.0 if outcome is Outcome.OK else 0.0
        assert found["uptime"]["share"] == expected, outcome.label
