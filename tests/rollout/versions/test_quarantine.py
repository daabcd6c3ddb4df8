"""Quarantines that are lifted for a while: they come back by themselves, whatever happens in between."""

from __future__ import annotations

from typing import Any

import pytest

from router.errors import Refusal
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.machine.replay import rebuild
from router.rollout.model.commands import PublishRoute
from router.rollout.model.events import (
    DeployAsked,
    Event,
    Override,
    QuarantineAsked,
    ReleaseAsked,
    RollbackAsked,
    SwitchAsked,
    Ticked,
)
from tests.rollout.playbook import Playbook

URL = ("http://v1:1",)


def marked() -> Playbook:
    """v1 was rolled back and has drained; v2 is active."""
    playbook = Playbook().seed()
    playbook.tell(RollbackAsked("wrong scores", "ann"))
    playbook.tell(Ticked(frozenset({"v1"})))
    assert playbook.states() == {"v1": "retired", "v2": "active"}
    return playbook


def lifted(for_s: float = 60.0) -> Playbook:
    playbook = marked()
    playbook.tell(ReleaseAsked("v1", "bob", "to look at it", for_s))
    assert playbook.registry.quarantines == {}
    return playbook


def refused(playbook: Playbook, event: Event) -> str:
    with pytest.raises(Refusal) as caught:
        playbook.tell(event)
    return caught.value.code


def test_it_comes_back_as_it_was() -> None:
    playbook = marked()
    before = playbook.registry.as_dict()["quarantines"]
    playbook.tell(ReleaseAsked("v1", "bob", "to look at it", 60.0))
    assert playbook.tell(Ticked(), after_s=59.9) == []
    playbook.tell(Ticked(), after_s=0.1)
    assert playbook.registry.as_dict()["quarantines"] == before
    assert playbook.registry.temporary_releases == {}
    assert playbook.entries[-1].type == "quarantine_returned"
    assert playbook.entries[-1].fact.to_data()["reason"].endswith("it was quarantined because: wrong scores")
    assert playbook.tell(Ticked(), after_s=1) == [], "once"
    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()


def test_no_deploy_slips_in_before_the_tick_that_notes_it() -> None:
    playbook = lifted()
    playbook.now_ns += 60_000_000_000
    assert refused(playbook, DeployAsked("v1", URL, "eve")) == "version_quarantined"


def test_until_then_it_may_be_deployed_and_its_candidacy_ends_with_the_time() -> None:
    playbook = lifted()
    playbook.tell(DeployAsked("v1", URL, "bob"))
    playbook.probe("v1", times=5)
    assert playbook.states()["v1"] == "ready"
    commands = playbook.tell(Ticked(), after_s=61)
    assert playbook.states()["v1"] == "draining"
    assert any(isinstance(command, PublishRoute) for command in commands)
    assert refused(playbook, SwitchAsked("v1", "bob", "x")) == "version_quarantined"


def test_a_quarantined_active_version_serves_on_and_is_no_standby() -> None:
    playbook = lifted()
    playbook.tell(DeployAsked("v1", URL, "bob"))
    playbook.probe("v1", times=5)
    playbook.tell(SwitchAsked("v1", "bob", "x", "promoted"))
    playbook.tell(Ticked(), after_s=61)
    assert (playbook.states()["v1"], list(playbook.registry.quarantines)) == ("active", ["v1"])
    playbook.tell(SwitchAsked("v2", "bob", "x"))
    assert playbook.registry.missing_standby() == "v1 is quarantined: wrong scores"
    assert refused(playbook, RollbackAsked("bad", "bob")) == "version_quarantined"
    [blocked, *_] = playbook.verdict()
    assert isinstance(blocked, Record)
    assert blocked.fact.type == "no_better_target"


def test_a_new_boot_counts_on_from_the_wall_clock() -> None:
    playbook = lifted(3600.0)
    until = playbook.registry.temporary_releases["v1"].until
    playbook.now_ns = 5_000_000_000
    playbook.fold(Entry.of("boot", "", "control", {"boot": 2}, until - 100.0, playbook.now_ns, 2))
    assert playbook.tell(Ticked(), after_s=99) == []
    playbook.tell(Ticked(), after_s=1)
    assert "v1" in playbook.registry.quarantines


def test_a_boot_after_its_end_brings_it_back_at_once() -> None:
    playbook = lifted()
    until = playbook.registry.temporary_releases["v1"].until
    playbook.now_ns = 7
    playbook.fold(Entry.of("boot", "", "control", {"boot": 2}, until + 100.0, 7, 2))
    assert refused(playbook, DeployAsked("v1", URL, "eve")) == "version_quarantined"
    playbook.tell(Ticked())
    assert "v1" in playbook.registry.quarantines


@pytest.mark.parametrize(
    ("event", "back"),
    [
        pytest.param(ReleaseAsked("v1", "bob", "fixed"), False, id="released for good"),
        pytest.param(ReleaseAsked("v1", "bob", "longer", 120.0), False, id="released for longer"),
        pytest.param(QuarantineAsked("v1", "bob", "bad after all"), True, id="quarantined anew"),
    ],
)
def test_an_operator_decides_again(event: Event, back: bool) -> None:
    playbook = lifted()
    playbook.tell(event)
    playbook.tell(Ticked(), after_s=61)
    assert ("v1" in playbook.registry.quarantines) is back


@pytest.mark.parametrize("expires_after_s", [None, 30.0])
def test_an_override_releases_for_good_or_for_a_time(expires_after_s: float | None) -> None:
    playbook = marked()
    playbook.tell(DeployAsked("v1", URL, "tok", override=Override("carol", "I know", expires_after_s)))
    lift: Any = playbook.registry.temporary_releases.get("v1")
    assert playbook.registry.quarantines == {}
    assert (lift and (lift.actor, lift.reason)) == (expires_after_s and ("carol", "I know"))
    playbook.tell(Ticked(), after_s=31)
    assert ("v1" in playbook.registry.quarantines) is (expires_after_s is not None)
