from __future__ import annotations

import json

from router.rollout.machine.reconcile import assumed, recovered
from router.rollout.model.events import DeployAsked, SwitchAsked
from router.rollout.model.route import Flag, Route
from tests.rollout.playbook import BOOT, Play

CONTENTS = {0: ("v2", ("http://v2:1",), 1), 1: ("v1", ("http://v1:1",), 1)}


def settle(play: Play, word: Route) -> None:
    record = recovered(play.registry, word, CONTENTS)
    assert record is not None
    assert json.loads(json.dumps(record.data)) == record.data
    play.record(record)
    assert (play.registry.route().named(), play.registry.generation) == (word.named(), word.generation)


def test_nothing_to_recover() -> None:
    play = Play().seed("v2", "v1")
    assert recovered(play.registry, Route(BOOT, active=0, standby=1), CONTENTS) is None


def test_a_rollback_that_was_stored_but_not_journalled_marks_the_version_it_left() -> None:
    play = Play().seed("v2", "v1")
    settle(play, Route(BOOT + 1, active=1, flags=Flag.REDISPATCH))
    assert play.states() == {"v1": "active", "v2": "draining"}
    assert list(play.registry.quarantines) == ["v2"]
    assert play.registry.targets["v2"].bounded
    assert play.registry.automatic_left is False


def test_a_stored_switch_is_no_rollback() -> None:
    play = Play().seed("v2", "v1")
    settle(play, Route(BOOT + 1, active=1, standby=0))
    assert (play.states(), play.registry.quarantines) == ({"v1": "active", "v2": "standby"}, {})


def test_a_version_that_only_shared_memory_knows() -> None:
    play = Play().seed("v2", "v1")
    record = recovered(play.registry, Route(BOOT + 1, active=3), {3: ("v3", ("http://v3:1",), 4)})
    assert record is not None
    play.record(record)
    assert play.states() == {"v1": "draining", "v2": "draining", "v3": "active"}
    assert play.registry.targets["v3"].incarnation == 4


def test_a_ready_candidate_stays_ready() -> None:
    play = Play().seed("v2", "v1")
    play.tell(DeployAsked("v3", ("http://v3:1",), "ann"))
    play.probe("v3", times=5)
    word = Route(BOOT + 9, active=0, standby=1, candidate=2)
    record = recovered(play.registry, word, {**CONTENTS, 2: ("v3", ("http://v3:1",), 1)})
    assert record is not None
    play.record(record)
    assert play.states()["v3"] == "ready"


def test_an_assumption_makes_a_version_active_whatever_it_was() -> None:
    play = Play().seed("v2", "v1")
    play.tell(SwitchAsked("v1", "ann", "x"))
    play.record(assumed(play.registry, "v2"))
    assert play.states() == {"v1": "draining", "v2": "active"}
