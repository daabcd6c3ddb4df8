"""The swaps of a drill as the rollout machine makes them, and what they leave alone."""

from __future__ import annotations

import pytest

from router.rollout.facts.record import Record
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.reconcile import recovered
from router.rollout.machine.replay import rebuild
from router.rollout.model import events as ev
from router.rollout.model.commands import CheckStandby, PublishRoute
from router.rollout.model.rewrite import NO_REWRITE
from router.rollout.model.route import Flag, Route
from router.rollout.model.target import State
from tests import entry_types
from tests.rollout.playbook import BOOT, SECOND, Playbook
from tests.texts import golden

PLAN = {"drill": "d1", "mode": "real", "by": "operator", "reason": "", "from": "v1", "to": "v2", "hold_s": 10.0}
THERE = ev.DrillMoveAsked("d1", home=False)
HOME = ev.DrillMoveAsked("d1", home=True)


def started(limits: RolloutLimits | None = None, ready: bool = True) -> Playbook:
    playbook = Playbook(limits).seed()
    if ready:
        playbook.probe("v1", times=3)
        playbook.probe("v2", times=3)
    playbook.record(Record.of(entry_types.DRILL_STARTED, "ann", PLAN))
    return playbook


def away(limits: RolloutLimits | None = None) -> Playbook:
    playbook = started(limits)
    playbook.tell(THERE)
    return playbook


def test_there_and_home_change_the_two_roles_over() -> None:
    playbook = started()
    before = playbook.registry.as_dict()
    assert playbook.tell(THERE) == [
        Record.of(
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
    assert playbook.registry.in_drill
    commands = playbook.tell(HOME, after_s=10)
    assert commands[-1] == PublishRoute(Route(BOOT + 2, active=0, standby=1))
    playbook.record(Record.of(entry_types.DRILL_ENDED, "control", {**PLAN, "result": "passed"}))
    after = playbook.registry.as_dict()
    kept = ("quarantines", "automatic_left", "baseline", "last_switch", "incidents", "switches", "drill")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept} | {"drill": None}
    assert after["probation_since_ns"] == before["probation_since_ns"]
    assert after["active_since_ns"] == playbook.now_ns, "it is judged from here on"
    assert playbook.states() == {"v1": "active", "v2": "standby"}
    assert rebuild("svc", playbook.entries).as_dict() == after


def test_what_waits_on_a_version_that_fails_may_leave_it() -> None:
    playbook = away()
    commands = playbook.tell(ev.DrillMoveAsked("d1", True, "9 of 9 failed"))
    assert commands[-1] == PublishRoute(Route(BOOT + 2, active=0, standby=1, flags=Flag.REDISPATCH))


def test_it_needs_what_an_automatic_rollback_needs() -> None:
    playbook = started(ready=False)
    assert playbook.tell(THERE) == []
    assert playbook.machine.drill_blocked_reason == golden("gate.probes_not_good")
    playbook.probe("v2", times=3)
    playbook.tell(ev.FreezeAsked("ann", "gala"))
    assert playbook.tell(THERE) == []
    assert playbook.machine.drill_blocked_reason == "frozen by ann: gala"
    playbook.tell(ev.UnfreezeAsked("ann", ""))
    assert playbook.tell(THERE) != []
    assert playbook.machine.drill_blocked_reason is None


def test_home_is_open_while_frozen_and_after_a_rollback() -> None:
    playbook = away()
    playbook.registry.automatic_left = False
    playbook.tell(ev.FreezeAsked("ann", "gala"))
    assert playbook.machine.gate.objections() == []
    assert playbook.tell(HOME) != []


@pytest.mark.parametrize("home", [pytest.param(False, id="there"), pytest.param(True, id="home")])
def test_each_swap_needs_a_fresh_inference(home: bool) -> None:
    playbook = started(RolloutLimits(inference=True))
    move, standby = (HOME, "v1") if home else (THERE, "v2")
    if home:
        playbook.tell(THERE)
        playbook.tell(ev.StandbyChecked(True, "ok", playbook.registry.generation))
    assert playbook.tell(move) == [CheckStandby(standby, playbook.registry.generation, 1.0)]
    assert playbook.tell(move) == [], "one at a time"
    assert playbook.tell(ev.StandbyChecked(False, "503", playbook.registry.generation)) == []
    assert playbook.machine.drill_blocked_reason == golden("gate.fresh_probe_failed", detail="503")
    playbook.tell(move)
    assert playbook.tell(ev.StandbyChecked(True, "ok", playbook.registry.generation)) != []
    assert playbook.registry.in_drill is not home


def test_a_verdict_against_the_version_that_serves_goes_home() -> None:
    playbook = away()
    commands = playbook.verdict()
    assert isinstance(commands[0], Record)
    assert (commands[0].fact.type, commands[0].fact.to_data()["home"], commands[0].fact.to_data()["reason"]) == (
        "drill_switched",
        True,
        "10 of 10 failed",
    )
    assert (playbook.states(), playbook.registry.quarantines) == ({"v1": "active", "v2": "standby"}, {})
    assert (playbook.registry.automatic_left, playbook.registry.incidents) == (True, [])


def test_a_verdict_holds_while_there_is_no_way_home() -> None:
    playbook = away()
    playbook.probe("v1", ok=False)
    assert [command.fact.type for command in playbook.verdict() if isinstance(command, Record)] == ["no_better_target"]
    playbook.probe("v1", times=3)
    assert playbook.verdict(after_s=1) != []
    assert playbook.states() == {"v1": "active", "v2": "standby"}


def test_a_real_verdict_before_the_first_swap_is_a_real_rollback() -> None:
    playbook = started(RolloutLimits(inference=True))
    playbook.tell(THERE)
    assert playbook.verdict() == [CheckStandby("v2", BOOT, 1.0)], "it does not wait for the check of the drill"
    commands = playbook.tell(ev.StandbyChecked(True, "ok", BOOT))
    assert isinstance(commands[0], Record)
    assert (commands[0].fact.type, playbook.registry.drill) == ("rolled_back", None)
    assert playbook.tell(THERE) == []


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(ev.SwitchAsked("v1", "ann", "no more of this"), id="switch"),
        pytest.param(ev.RollbackAsked("no more of this", "ann"), id="rollback"),
    ],
)
def test_operators_take_precedence_over_a_drill(event: ev.Event) -> None:
    playbook = away()
    playbook.tell(event)
    assert (playbook.registry.active and playbook.registry.active.version, playbook.registry.drill) == ("v1", None)
    assert playbook.tell(HOME) == []
    assert playbook.machine.drill_blocked_reason == golden("drill.not_under_way")


def test_where_it_stays_a_new_probation_begins() -> None:
    playbook = away()
    playbook.tell(ev.Ticked(), after_s=40)
    playbook.record(Record.of(entry_types.DRILL_ENDED, "control", {**PLAN, "result": "stayed"}))
    assert playbook.registry.probation_since_ns == playbook.registry.active_since_ns == 10 * SECOND


def test_a_shadow_touches_no_role() -> None:
    playbook = Playbook().seed()
    before = playbook.registry.as_dict()
    playbook.record(Record.of(entry_types.DRILL_STARTED, "ann", {**PLAN, "mode": "shadow"}))
    playbook.record(Record.of(entry_types.DRILL_ENDED, "ann", {**PLAN, "mode": "shadow", "result": "passed"}))
    assert playbook.registry.as_dict() == before


@pytest.mark.parametrize("home", [pytest.param(False, id="there"), pytest.param(True, id="home")])
def test_a_swap_that_was_stored_and_never_journalled_is_understood(home: bool) -> None:
    """kill -9 between the store and the disk: the word says where the drill stands, the journal that there is one."""
    playbook = away() if home else started()
    registry = rebuild("svc", playbook.entries)
    word = Route(BOOT + 1 + home, active=0 if home else 1, standby=1 if home else 0)
    v1, v2 = (("v1", ("http://v1:1",), NO_REWRITE), ("v2", ("http://v2:1",), NO_REWRITE))
    active, standby = (v1, v2) if home else (v2, v1)
    record = recovered(registry, word, {State.ACTIVE: active, State.STANDBY: standby})
    assert record is not None
    probation_ns = playbook.registry.probation_since_ns
    playbook.record(record)
    assert (playbook.registry.in_drill, playbook.registry.quarantines) == (not home, {})
    assert playbook.registry.drill is not None
    assert (playbook.registry.automatic_left, playbook.registry.probation_since_ns) == (True, probation_ns)
