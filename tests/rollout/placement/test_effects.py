"""What a record changes in this router: slots, route, cuts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.errors import InternalError
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.model import events as ev
from router.rollout.model.commands import CutSlot, FillSlot, PublishRoute, RaiseAlarm
from router.rollout.model.rewrite import Rewrite
from router.rollout.model.route import Flag, Route
from router.rollout.placement.effects import CUT_FOR_SLOT, adopted, effects, first
from router.rollout.placement.slot_table import HeldSlot, SlotTable
from tests.rollout.playbook import BOOT, Playbook


def deploy(version: str) -> ev.DeployAsked:
    return ev.DeployAsked(version, (f"http://{version}:1",), "ann", replace=True)


def entry(kind: str, **data: object) -> Entry:
    return Entry.of(kind, "svc", "ann", data, 1.0, 1, 1)


def test_a_version_that_comes_in_fills_the_slot_that_was_filled_least_often() -> None:
    playbook = Playbook().seed()
    playbook.table = replace(playbook.table, incarnations=(1, 1, 4, 2, 3, 2, 9))
    fill, publish = playbook.tell(deploy("v3"))[1:]
    assert fill == FillSlot(3, 3, "v3", ("http://v3:1",), True)
    assert publish == PublishRoute(Route(BOOT + 1, active=0, standby=1, candidate=3))
    assert playbook.table.held["v3"] == HeldSlot(3, 3)


def test_a_version_that_moves_fills_its_slot_again_and_counts_on() -> None:
    playbook = Playbook().seed()
    there = Rewrite("v2.example.com")
    _, fill, publish = playbook.tell(ev.EndpointsAsked("v2", ("http://there:1",), "ann", there))
    assert fill == FillSlot(1, 1, "v2", ("http://there:1",), False, there)
    assert publish == PublishRoute(Route(BOOT + 1, active=0, standby=1))


def test_a_version_without_a_slot_that_moves_has_no_effect() -> None:
    playbook = Playbook().seed()
    playbook.tell(ev.RegisterAsked("v3", ("http://v3:1",), "ann"))
    assert len(playbook.tell(ev.EndpointsAsked("v3", ("http://there:1",), "ann"))) == 1


def test_a_lost_role_is_dated_until_the_version_has_one_again() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(ev.RollbackAsked("bad", "ann"))
    assert playbook.table.held["v2"].roleless_generation == BOOT + 1
    playbook.tell(ev.FreezeAsked("ann", "hold"))
    playbook.tell(ev.RetireAsked("v2", "ann", cut=True))
    assert playbook.table.held["v2"].roleless_generation == BOOT + 1
    playbook.tell(ev.DeployAsked("v2", (), "ann", override=ev.Override("ann", "sure")))
    assert playbook.table.held["v2"] == HeldSlot(0, 1)


@pytest.mark.parametrize("away", [False, True])
def test_a_rollback_redispatches(away: bool) -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.probe("v1", times=3)
    (publish,) = [found for found in playbook.verdict(away) if isinstance(found, PublishRoute)]
    assert publish.route == Route(BOOT + 1, active=1, flags=Flag.REDISPATCH)
    assert ("v2" in playbook.table.held, playbook.registry.targets["v2"].state) == (
        True,
        "unreachable" if away else "draining",
    )


def test_a_plain_switch_does_not_redispatch() -> None:
    publish = Playbook().seed().tell(ev.SwitchAsked("v2", "ann", "x"))[-1]
    assert publish == PublishRoute(Route(BOOT + 1, active=1, standby=0))


def test_records_that_are_applied_together_publish_one_route() -> None:
    """A rollback, and a switch forward again: the newest route is published; nothing waits on a version that is active."""
    playbook = Playbook().seed("v2", "v1")
    before, table = playbook.registry.targets, playbook.table
    playbook.tell(ev.RollbackAsked("bad", "ann"))
    count = len(playbook.entries)
    playbook.tell(ev.FreezeAsked("ann", "hold"))
    playbook.tell(deploy("v3"))
    found = effects(before, playbook.registry, playbook.entries[count - 1 :], table)
    routes = [command.route for command in found.commands if isinstance(command, PublishRoute)]
    assert routes == [Route(BOOT + 2, active=1, candidate=2, flags=Flag.REDISPATCH)]
    assert found.table.held == playbook.table.held | {"v2": HeldSlot(0, 1, BOOT + 2)}


def test_a_flag_of_a_version_that_is_active_again_is_left_out() -> None:
    playbook = Playbook().seed("v2", "v1")
    rolled_back = entry("rolled_back", generation=BOOT + 1, states={}, **{"from": "v2", "to": "v1"})
    publish = effects(playbook.registry.targets, playbook.registry, [rolled_back], playbook.table).commands[-1]
    assert publish == PublishRoute(Route(BOOT + 1, active=0, standby=1))


def test_without_a_free_slot_the_version_that_was_without_a_role_for_longest_is_cut() -> None:
    """A record that another router has decided is never refused; an operator's request is (core/executor.py)."""
    playbook = Playbook().seed()
    for number in range(3, 8):
        playbook.tell(deploy(f"v{number}"))
    generation = playbook.registry.generation
    cut, alarm, fill, publish = playbook.tell(deploy("v8"))[1:]
    assert cut == CutSlot(2, generation)
    assert isinstance(alarm, RaiseAlarm)
    assert (alarm.code, "v3 were cut" in alarm.detail) == (CUT_FOR_SLOT, True)
    assert fill == FillSlot(2, 2, "v8", ("http://v8:1",), True)
    assert isinstance(publish, PublishRoute)
    assert "v3" not in playbook.table.held


def test_slots_are_never_taken_from_versions_that_need_them() -> None:
    playbook = Playbook().seed()
    for number in range(3, 8):
        playbook.tell(deploy(f"v{number}"))
        playbook.record(Record.of("recovered", "control", {"states": {f"v{number}": "unreachable"}, "forced": True}))
    with pytest.raises(InternalError) as caught:
        playbook.tell(deploy("v8"))
    assert caught.value.code == "slots_exhausted"


@pytest.mark.parametrize("failed", [False, True])
def test_a_drained_version_frees_its_slot(failed: bool) -> None:
    playbook = Playbook().seed()
    playbook.tell(deploy("v3"))
    if failed:
        playbook.tell(ev.Ticked(), after_s=901)
    else:
        playbook.tell(ev.RetireAsked("v3", "ann"))
    assert "v3" in playbook.table.held
    playbook.tell(ev.Ticked(frozenset({"v3"})))
    assert ("v3" in playbook.table.held, playbook.table.incarnations[2]) == (False, 1)


def test_retire_with_cut_cuts_a_version_that_drains_already() -> None:
    playbook = Playbook().seed()
    playbook.tell(deploy("v3"))
    playbook.tell(ev.RetireAsked("v3", "ann"))
    assert playbook.tell(ev.RetireAsked("v3", "ann", cut=True))[1:] == [CutSlot(2, playbook.registry.generation)]
    playbook.tell(ev.Ticked(frozenset({"v3"})))
    assert playbook.tell(ev.RetireAsked("v3", "ann", cut=True)) == []


def test_the_first_route_in_a_memory() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(ev.RollbackAsked("bad", "ann"))
    found = first(playbook.registry, SlotTable())
    assert found.commands == (
        FillSlot(0, 1, "v1", ("http://v1:1",), True),
        PublishRoute(Route(BOOT + 1, active=0)),
    )
    assert set(found.table.held) == {"v1"}, "nothing is in flight on a version without a role"


def test_a_table_that_a_killed_control_has_left_is_made_to_fit() -> None:
    """It had filled a slot for a version of a record that was never stored, and had dated a role that was not lost."""
    playbook = Playbook().seed("v2", "v1")
    left = playbook.table.placed("v3", 2)
    left = replace(left, held={**left.held, "v2": replace(left.held["v2"], roleless_generation=BOOT + 1)})
    found = adopted(playbook.registry, left)
    assert (found.commands, found.table.held) == ((), playbook.table.held)
    assert found.table.incarnations == (1, 1, 1, 0, 0, 0, 0), "the next version there is another one"
