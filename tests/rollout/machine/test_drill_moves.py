"""The swaps of a drill as the rollout machine makes them, and what they leave alone."""

from __future__ import annotations

import pytest

from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.reconcile import recovered
from router.rollout.machine.replay import rebuild
from router.rollout.model import entry as kinds
from router.rollout.model import events as ev
from router.rollout.model.commands import CheckStandby, PublishRoute, Record
from router.rollout.model.route import Flag, Route
from tests.rollout.playbook import BOOT, SECOND, Play

PLAN = {"drill": "d1", "mode": "real", "by": "operator", "reason": "", "from": "v1", "to": "v2", "hold_s": 10.0}
THERE = ev.DrillMoveAsked("d1", home=False)
HOME = ev.DrillMoveAsked("d1", home=True)


def started(limits: RolloutLimits | None = None, ready: bool = True) -> Play:
    play = Play(limits).seed()
    if ready:
        play.probe("v1", times=3)
        play.probe("v2", times=3)
    play.record(Record(kinds.DRILL_STARTED, "ann", PLAN))
    return play


def away(limits: RolloutLimits | None = None) -> Play:
    play = started(limits)
    play.tell(THERE)
    return play


def test_there_and_home_change_the_two_roles_over() -> None:
    play = started()
    before = play.registry.as_dict()
    assert play.tell(THERE) == [
        Record(
            "drill_switched",
            "drill",
            {
                "generation": BOOT + 1,
                "from": "v1",
                "states": {"v2": "active", "v1": "standby"},
                "to": "v2",
                "drill": "d1",
                "home": False,
                "reason": "",
            },
        ),
        PublishRoute(Route(BOOT + 1, active=1, standby=0)),
    ]
    assert play.registry.rehearsing
    commands = play.tell(HOME, after_s=10)
    assert commands[-1] == PublishRoute(Route(BOOT + 2, active=0, standby=1))
    play.record(Record(kinds.DRILL_ENDED, "control", {**PLAN, "result": "passed"}))
    after = play.registry.as_dict()
    kept = ("quarantines", "automatic_left", "baseline", "last_switch", "incidents", "switches", "drill")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept} | {"drill": None}
    assert after["probation_since_ns"] == before["probation_since_ns"]
    assert after["active_since_ns"] == play.now_ns, "it is judged from here on"
    assert play.states() == {"v1": "active", "v2": "standby"}
    assert rebuild("svc", play.entries).as_dict() == after


def test_what_waits_on_a_version_that_fails_may_leave_it() -> None:
    play = away()
    commands = play.tell(ev.DrillMoveAsked("d1", True, "9 of 9 failed"))
    assert commands[-1] == PublishRoute(Route(BOOT + 2, active=0, standby=1, flags=Flag.REDISPATCH))


def test_it_needs_what_an_automatic_rollback_needs() -> None:
    play = started(ready=False)
    assert play.tell(THERE) == []
    assert play.machine.drill_held == "the last 3 probes of v2 were not all good: too few yet"
    play.probe("v2", times=3)
    play.tell(ev.FreezeAsked("ann", "gala"))
    assert play.tell(THERE) == []
    assert play.machine.drill_held == "frozen by ann: gala"
    play.tell(ev.UnfreezeAsked("ann", ""))
    assert play.tell(THERE) != []
    assert play.machine.drill_held is None


def test_home_is_open_while_frozen_and_after_a_rollback() -> None:
    play = away()
    play.registry.automatic_left = False
    play.tell(ev.FreezeAsked("ann", "gala"))
    assert play.machine.gate.objections() == []
    assert play.tell(HOME) != []


@pytest.mark.parametrize("home", [pytest.param(False, id="there"), pytest.param(True, id="home")])
def test_each_way_asks_for_a_fresh_inference(home: bool) -> None:
    play = started(RolloutLimits(inference=True))
    move, slot = (HOME, 0) if home else (THERE, 1)
    if home:
        play.tell(THERE)
        play.tell(ev.StandbyChecked(True, "ok", play.registry.generation))
    assert play.tell(move) == [CheckStandby(slot, play.registry.generation, 1.0)]
    assert play.tell(move) == [], "one at a time"
    assert play.tell(ev.StandbyChecked(False, "503", play.registry.generation)) == []
    assert play.machine.drill_held == "its fresh inference probe failed: 503"
    play.tell(move)
    assert play.tell(ev.StandbyChecked(True, "ok", play.registry.generation)) != []
    assert play.registry.rehearsing is not home


def test_a_verdict_against_the_version_that_serves_goes_home() -> None:
    play = away()
    commands = play.verdict()
    assert isinstance(commands[0], Record)
    assert (commands[0].type, commands[0].data["home"], commands[0].data["reason"]) == (
        "drill_switched",
        True,
        "10 of 10 failed",
    )
    assert (play.states(), play.registry.quarantines) == ({"v1": "active", "v2": "standby"}, {})
    assert (play.registry.automatic_left, play.registry.incidents) == (True, [])


def test_a_verdict_holds_while_there_is_no_way_home() -> None:
    play = away()
    play.probe("v1", ok=False)
    assert [command.type for command in play.verdict() if isinstance(command, Record)] == ["no_better_target"]
    play.probe("v1", times=3)
    assert play.verdict(after_s=1) != []
    assert play.states() == {"v1": "active", "v2": "standby"}


def test_a_real_verdict_before_the_first_swap_is_a_real_rollback() -> None:
    play = started(RolloutLimits(inference=True))
    play.tell(THERE)
    assert play.verdict() == [CheckStandby(1, BOOT, 1.0)], "it does not wait for the check of the drill"
    commands = play.tell(ev.StandbyChecked(True, "ok", BOOT))
    assert isinstance(commands[0], Record)
    assert (commands[0].type, play.registry.drill) == ("rolled_back", None)
    assert play.tell(THERE) == []


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(ev.SwitchAsked("v1", "ann", "no more of this"), id="switch"),
        pytest.param(ev.RollbackAsked("no more of this", "ann"), id="rollback"),
    ],
)
def test_people_go_before_a_drill(event: ev.Event) -> None:
    play = away()
    play.tell(event)
    assert (play.registry.active and play.registry.active.version, play.registry.drill) == ("v1", None)
    assert play.tell(HOME) == []
    assert play.machine.drill_held == "drill d1 is not under way from v1"


def test_where_it_stays_a_new_probation_begins() -> None:
    play = away()
    play.tell(ev.Ticked(), after_s=40)
    play.record(Record(kinds.DRILL_ENDED, "control", {**PLAN, "result": "stayed"}))
    assert play.registry.probation_since_ns == play.registry.active_since_ns == 10 * SECOND


def test_a_shadow_touches_no_role() -> None:
    play = Play().seed()
    before = play.registry.as_dict()
    play.record(Record(kinds.DRILL_STARTED, "ann", {**PLAN, "mode": "shadow"}))
    play.record(Record(kinds.DRILL_ENDED, "ann", {**PLAN, "mode": "shadow", "result": "passed"}))
    assert play.registry.as_dict() == before


@pytest.mark.parametrize("home", [pytest.param(False, id="there"), pytest.param(True, id="home")])
def test_a_swap_that_was_stored_and_never_journalled_is_understood(home: bool) -> None:
    """kill -9 between the store and the disk: the word says where the drill stands, the journal that there is one."""
    play = away() if home else started()
    registry = rebuild("svc", play.entries)
    word = Route(BOOT + 1 + home, active=0 if home else 1, standby=1 if home else 0)
    record = recovered(registry, word, {0: ("v1", ("http://v1:1",), 1), 1: ("v2", ("http://v2:1",), 1)})
    assert record is not None
    probation_ns = play.registry.probation_since_ns
    play.record(record)
    assert (play.registry.rehearsing, play.registry.quarantines) == (not home, {})
    assert play.registry.drill is not None
    assert (play.registry.automatic_left, play.registry.probation_since_ns) == (True, probation_ns)
