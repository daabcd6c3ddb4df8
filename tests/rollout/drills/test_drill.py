from __future__ import annotations

import pytest

from router.rollout.drills.drill import Drill, DrillEnd, DrillPhase, DrillPlan, Observation, SwapBack
from router.rollout.facts.switches import Confirmed
from tests.texts import golden

SECOND = 1_000_000_000
PLAN = DrillPlan("svc-drill-1", "svc", "real", "operator", "ann", "Tuesday", "v1", "v2", 10.0)
ASKED = Observation(open=True, away=False, active="v1")
AWAY = Observation(open=True, away=True, active="v2")
GONE = Observation(open=False, away=False, active="v3")


class DrillHarness:
    """A drill and its clock."""

    def __init__(self, drill: Drill | None = None) -> None:
        self.drill = drill or Drill(PLAN, 0)
        self.now_ns = 0

    def step(self, observation: Observation, after_s: float = 0.0) -> SwapBack | DrillEnd | None:
        self.now_ns += int(after_s * SECOND)
        return self.drill.step(observation, self.now_ns)

    def swapped(
        self, home: bool, reason: str = "", behind: tuple[int, ...] = (), confirmed: bool = True
    ) -> DrillHarness:
        generation = 5 + home
        self.drill.swapped({"home": home, "generation": generation, "at": "then"}, reason, self.now_ns)
        if confirmed:
            confirmed_ms = None if behind else 2.0
            self.drill.confirmed(
                Confirmed(generation=generation, swap_us=40, confirmed_ms=confirmed_ms, workers_unconfirmed=behind)
            )
        return self


def test_there_and_back() -> None:
    harness = DrillHarness()
    assert harness.step(ASKED, after_s=0.2) is None
    harness.swapped(home=False)
    assert harness.step(AWAY, after_s=9.9) is None
    assert harness.step(AWAY, after_s=0.1) == SwapBack("")
    assert harness.step(AWAY, after_s=1) == SwapBack("")
    harness.swapped(home=True)
    assert harness.step(ASKED) == DrillEnd("passed")
    assert harness.step(ASKED) is None
    assert (harness.drill.reasons, harness.drill.away_s(harness.now_ns)) == ([], 11.0)


def stop(harness: DrillHarness) -> None:
    harness.drill.stop("stopped by ann")


@pytest.mark.parametrize(
    ("observation", "result", "reason"),
    [
        pytest.param(
            Observation(True, True, "v2", worse=("9 of 9 failed",)), "aborted", "9 of 9 failed", id="it got worse"
        ),
        pytest.param(AWAY, "stopped", "stopped by ann", id="somebody ended it"),
    ],
)
def test_it_goes_home_early(observation: Observation, result: str, reason: str) -> None:
    harness = DrillHarness().swapped(home=False)
    if result == "stopped":
        stop(harness)
    assert harness.step(observation, after_s=1) == SwapBack(reason)
    harness.swapped(home=True, reason=reason)
    assert (harness.step(ASKED, after_s=1), harness.drill.reasons) == (DrillEnd(result), [reason])  # type: ignore[arg-type]


def test_a_verdict_went_home_by_itself() -> None:
    harness = DrillHarness().swapped(home=False).swapped(home=True, reason="10 of 10 failed")
    assert (harness.step(ASKED), harness.drill.reasons) == (DrillEnd("aborted"), ["10 of 10 failed"])


@pytest.mark.parametrize(
    ("observation", "after_s", "reason"),
    [
        pytest.param(
            Observation(True, False, "v1", blocked_reason="its probe failed"),
            0.1,
            "its probe failed",
            id="the gate said no",
        ),
        pytest.param(ASKED, 10.0, "the gate did not decide within 10 s", id="the gate said nothing"),
    ],
)
def test_the_gate_refuses_it(observation: Observation, after_s: float, reason: str) -> None:
    harness = DrillHarness()
    assert (harness.step(observation, after_s), harness.drill.reasons) == (DrillEnd("refused"), [reason])


def test_it_stays_where_there_is_no_way_home() -> None:
    """One bad probe is waited for; a version that stays away is not gone back to."""
    harness = DrillHarness().swapped(home=False)
    held = Observation(True, True, "v2", blocked_reason="the last 3 probes of v1 were not all good")
    assert harness.step(held, after_s=10) == SwapBack("")
    assert harness.step(held, after_s=29.9) == SwapBack("")
    assert harness.step(held, after_s=0.1) == DrillEnd("stayed")
    assert harness.drill.reasons == [golden("drill.no_way_home")]


def test_a_worker_that_does_not_follow_ends_it() -> None:
    harness = DrillHarness().swapped(home=False, behind=(1,))
    assert harness.step(AWAY, after_s=1) == SwapBack("workers [1] did not confirm 5")
    assert harness.swapped(home=True).step(ASKED) == DrillEnd("aborted")


@pytest.mark.parametrize(
    ("behind", "confirmed", "after_s"),
    [pytest.param((0,), True, 0.0, id="a worker is behind"), pytest.param((), False, 10.0, id="nobody said anything")],
)
def test_home_is_not_confirmed(behind: tuple[int, ...], confirmed: bool, after_s: float) -> None:
    harness = DrillHarness().swapped(home=False)
    harness.step(AWAY, after_s=10)
    harness.swapped(home=True, behind=behind, confirmed=confirmed)
    if not confirmed:
        assert harness.step(ASKED, after_s=9.9) is None
    assert harness.step(ASKED, after_s) == DrillEnd("failed")


@pytest.mark.parametrize("away", [pytest.param(False, id="asked"), pytest.param(True, id="away")])
def test_another_change_ends_it(away: bool) -> None:
    harness = DrillHarness().swapped(home=False) if away else DrillHarness()
    assert harness.step(GONE) == DrillEnd("overtaken")
    assert harness.drill.reasons == ["another change made v3 active"]


def test_after_a_restart_it_goes_home_at_once() -> None:
    reason = "control was started anew while it was under way"
    harness = DrillHarness(Drill.after_restart(PLAN, 0))
    assert harness.step(AWAY) == SwapBack(reason)
    assert harness.swapped(home=True, reason=reason).step(ASKED) == DrillEnd("stopped")
    assert DrillHarness(Drill.after_restart(PLAN, 0)).step(ASKED) == DrillEnd("stopped"), "it was home already"


def test_phases_have_names() -> None:
    assert [phase.value for phase in DrillPhase] == ["asked", "away", "returning", "home", "over"]
