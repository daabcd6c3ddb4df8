from __future__ import annotations

import pytest

from router.rollout.drills.drill import Drill, DrillEnd, DrillPhase, DrillPlan, Observation, SwapBack
from tests.texts import golden

SECOND = 1_000_000_000
PLAN = DrillPlan("svc-drill-1", "svc", "real", "operator", "ann", "Tuesday", "v1", "v2", 10.0)
ASKED = Observation(open=True, away=False, active="v1")
AWAY = Observation(open=True, away=True, active="v2")
GONE = Observation(open=False, away=False, active="v3")


class Played:
    """A drill and its clock."""

    def __init__(self, drill: Drill | None = None) -> None:
        self.drill = drill or Drill(PLAN, 0)
        self.now_ns = 0

    def look(self, sight: Observation, after_s: float = 0.0) -> SwapBack | DrillEnd | None:
        self.now_ns += int(after_s * SECOND)
        return self.drill.step(sight, self.now_ns)

    def swapped(self, home: bool, why: str = "", behind: tuple[int, ...] = (), confirmed: bool = True) -> Played:
        generation = 5 + home
        self.drill.swapped({"home": home, "generation": generation, "at": "then"}, why, self.now_ns)
        if confirmed:
            self.drill.confirmed(
                {
                    "generation": generation,
                    "swap_us": 40,
                    "confirmed_ms": None if behind else 2.0,
                    "workers_unconfirmed": list(behind),
                }
            )
        return self


def test_there_and_back() -> None:
    played = Played()
    assert played.look(ASKED, after_s=0.2) is None
    played.swapped(home=False)
    assert played.look(AWAY, after_s=9.9) is None
    assert played.look(AWAY, after_s=0.1) == SwapBack("")
    assert played.look(AWAY, after_s=1) == SwapBack("")
    played.swapped(home=True)
    assert played.look(ASKED) == DrillEnd("passed")
    assert played.look(ASKED) is None
    assert (played.drill.reasons, played.drill.away_s(played.now_ns)) == ([], 11.0)


def stop(played: Played) -> None:
    played.drill.stop("stopped by ann")


@pytest.mark.parametrize(
    ("sight", "result", "why"),
    [
        pytest.param(
            Observation(True, True, "v2", worse=("9 of 9 failed",)), "aborted", "9 of 9 failed", id="it got worse"
        ),
        pytest.param(AWAY, "stopped", "stopped by ann", id="somebody ended it"),
    ],
)
def test_it_goes_home_early(sight: Observation, result: str, why: str) -> None:
    played = Played().swapped(home=False)
    if result == "stopped":
        stop(played)
    assert played.look(sight, after_s=1) == SwapBack(why)
    played.swapped(home=True, why=why)
    assert (played.look(ASKED, after_s=1), played.drill.reasons) == (DrillEnd(result), [why])  # type: ignore[arg-type]


def test_a_verdict_went_home_by_itself() -> None:
    played = Played().swapped(home=False).swapped(home=True, why="10 of 10 failed")
    assert (played.look(ASKED), played.drill.reasons) == (DrillEnd("aborted"), ["10 of 10 failed"])


@pytest.mark.parametrize(
    ("sight", "after_s", "reason"),
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
def test_the_gate_refuses_it(sight: Observation, after_s: float, reason: str) -> None:
    played = Played()
    assert (played.look(sight, after_s), played.drill.reasons) == (DrillEnd("refused"), [reason])


def test_it_stays_where_there_is_no_way_home() -> None:
    """One bad probe is waited for; a version that stays away is not gone back to."""
    played = Played().swapped(home=False)
    held = Observation(True, True, "v2", blocked_reason="the last 3 probes of v1 were not all good")
    assert played.look(held, after_s=10) == SwapBack("")
    assert played.look(held, after_s=29.9) == SwapBack("")
    assert played.look(held, after_s=0.1) == DrillEnd("stayed")
    assert played.drill.reasons == [golden("drill.no_way_home")]


def test_a_worker_that_does_not_follow_ends_it() -> None:
    played = Played().swapped(home=False, behind=(1,))
    assert played.look(AWAY, after_s=1) == SwapBack("workers [1] did not confirm 5")
    assert played.swapped(home=True).look(ASKED) == DrillEnd("aborted")


@pytest.mark.parametrize(
    ("behind", "confirmed", "after_s"),
    [pytest.param((0,), True, 0.0, id="a worker is behind"), pytest.param((), False, 10.0, id="nobody said anything")],
)
def test_home_is_not_confirmed(behind: tuple[int, ...], confirmed: bool, after_s: float) -> None:
    played = Played().swapped(home=False)
    played.look(AWAY, after_s=10)
    played.swapped(home=True, behind=behind, confirmed=confirmed)
    if not confirmed:
        assert played.look(ASKED, after_s=9.9) is None
    assert played.look(ASKED, after_s) == DrillEnd("failed")


@pytest.mark.parametrize("away", [pytest.param(False, id="asked"), pytest.param(True, id="away")])
def test_another_change_ends_it(away: bool) -> None:
    played = Played().swapped(home=False) if away else Played()
    assert played.look(GONE) == DrillEnd("overtaken")
    assert played.drill.reasons == ["another change made v3 active"]


def test_after_a_restart_it_goes_home_at_once() -> None:
    why = "control was started anew while it was under way"
    played = Played(Drill.after_restart(PLAN, 0))
    assert played.look(AWAY) == SwapBack(why)
    assert played.swapped(home=True, why=why).look(ASKED) == DrillEnd("stopped")
    assert Played(Drill.after_restart(PLAN, 0)).look(ASKED) == DrillEnd("stopped"), "it was home already"


def test_phases_have_names() -> None:
    assert [phase.value for phase in DrillPhase] == ["asked", "away", "returning", "home", "over"]
