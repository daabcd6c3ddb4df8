from __future__ import annotations

import json

from router.rollout.facts.record import Record
from router.rollout.machine.reconcile import Named, assumed, named_roles, recovered, versions_of
from router.rollout.model.events import DeployAsked, SwitchAsked
from router.rollout.model.rewrite import NO_REWRITE
from router.rollout.model.route import Flag, Route
from router.rollout.model.target import State
from tests.rollout.playbook import BOOT, Playbook

V1, V2, V3 = ((name, (f"http://{name}:1",), NO_REWRITE) for name in ("v1", "v2", "v3"))


def settle(playbook: Playbook, word: Route, named: Named) -> None:
    record = recovered(playbook.registry, word, named)
    assert record is not None
    assert Record.of(record.fact.type, record.actor, json.loads(json.dumps(record.fact.to_data()))) == record
    playbook.record(record)
    assert (named_roles(playbook.registry), playbook.registry.generation) == (versions_of(named), word.generation)


def test_nothing_to_recover() -> None:
    playbook = Playbook().seed("v2", "v1")
    assert recovered(playbook.registry, Route(BOOT, active=0, standby=1), {State.ACTIVE: V2, State.STANDBY: V1}) is None


def test_a_rollback_stored_but_not_journalled_quarantines() -> None:
    playbook = Playbook().seed("v2", "v1")
    settle(playbook, Route(BOOT + 1, active=1, flags=Flag.REDISPATCH), {State.ACTIVE: V1})
    assert playbook.states() == {"v1": "active", "v2": "draining"}
    assert list(playbook.registry.quarantines) == ["v2"]
    assert playbook.registry.targets["v2"].bounded
    assert playbook.registry.automatic_left is False


def test_a_stored_switch_is_no_rollback() -> None:
    playbook = Playbook().seed("v2", "v1")
    settle(playbook, Route(BOOT + 1, active=1, standby=0), {State.ACTIVE: V1, State.STANDBY: V2})
    assert (playbook.states(), playbook.registry.quarantines) == ({"v1": "active", "v2": "standby"}, {})


def test_a_version_that_only_shared_memory_knows() -> None:
    playbook = Playbook().seed("v2", "v1")
    record = recovered(playbook.registry, Route(BOOT + 1, active=3), {State.ACTIVE: V3})
    assert record is not None
    playbook.record(record)
    assert playbook.states() == {"v1": "draining", "v2": "draining", "v3": "active"}
    assert playbook.registry.targets["v3"].endpoints == ("http://v3:1",)


def test_a_ready_candidate_stays_ready() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(DeployAsked("v3", ("http://v3:1",), "ann"))
    playbook.probe("v3", times=5)
    word = Route(BOOT + 9, active=0, standby=1, candidate=2)
    record = recovered(playbook.registry, word, {State.ACTIVE: V2, State.STANDBY: V1, State.VERIFYING: V3})
    assert record is not None
    playbook.record(record)
    assert playbook.states()["v3"] == "ready"


def test_an_assumption_makes_a_version_active_whatever_it_was() -> None:
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(SwitchAsked("v1", "ann", "x"))
    playbook.record(assumed(playbook.registry, "v2"))
    assert playbook.states() == {"v1": "draining", "v2": "active"}
