from __future__ import annotations

import pytest

from router.errors import Refusal
from router.rollout.machine.registry import RETIRED_MAX
from router.rollout.machine.replay import rebuild
from router.rollout.model import events as ev
from router.rollout.model.commands import FillSlot, PublishRoute
from router.rollout.model.events import DeployAsked, Event, Origin, RegisterAsked, RetireAsked
from router.rollout.model.rewrite import NO_REWRITE, Rewrite
from tests.rollout.playbook import Playbook

V3 = RegisterAsked("v3", ("http://v3:1",), "ann", Origin("s3://m/3"))


def refused(playbook: Playbook, event: Event) -> str:
    before = playbook.registry.as_dict()
    with pytest.raises(Refusal) as caught:
        playbook.tell(event)
    assert playbook.registry.as_dict() == before
    return str(caught.value.code)


def test_a_registered_version_is_known_and_changes_no_route() -> None:
    playbook = Playbook().seed()
    assert not any(isinstance(found, PublishRoute | FillSlot) for found in playbook.tell(V3))
    assert playbook.states() == {"v1": "active", "v2": "standby", "v3": "registered"}
    assert playbook.tell(V3) == [], "it is known already"
    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()


def test_it_is_deployed_without_naming_its_endpoints_again() -> None:
    playbook = Playbook().seed()
    playbook.tell(V3)
    playbook.tell(DeployAsked("v3", (), "bob"))
    assert (playbook.states()["v3"], playbook.registry.targets["v3"].endpoints) == ("verifying", ("http://v3:1",))


def test_it_is_retired_without_having_served() -> None:
    playbook = Playbook().seed()
    playbook.tell(V3)
    playbook.tell(RetireAsked("v3", "ann"))
    assert playbook.states()["v3"] == "retired"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (RegisterAsked("v9", (), "ann"), "endpoints_needed"),
        (DeployAsked("v9", (), "ann"), "endpoints_needed"),
        (RegisterAsked("v3", ("http://other:1",), "ann"), "endpoints_differ"),
        (DeployAsked("v3", ("http://v3:1",), "ann", origin=Origin("s3://m/4")), "artifact_differs"),
        (DeployAsked("v3", ("http://v3:1",), "ann", origin=Origin(None, "models:/m/4")), "source_differs"),
        (RegisterAsked("v3", (), "ann", Origin(None, "models:/m/4")), "source_differs"),
    ],
    ids=["unknown", "deployed unknown", "elsewhere", "other artifact", "other source", "registered with other source"],
)
def test_a_label_keeps_meaning_the_same(event: Event, code: str) -> None:
    playbook = Playbook().seed()
    playbook.tell(RegisterAsked("v3", ("http://v3:1",), "ann", Origin("s3://m/3", "models:/m/3")))
    assert refused(playbook, event) == code


def test_an_artifact_is_corrected_explicitly() -> None:
    playbook = Playbook().seed()
    playbook.tell(V3)
    playbook.tell(RegisterAsked("v3", (), "bob", Origin("s3://n/3", "models:/m/3")))
    provenance = playbook.registry.provenances["v3"]
    assert (provenance.artifact, provenance.source, provenance.registered_by) == ("s3://n/3", "models:/m/3", "ann")
    assert playbook.tell(RegisterAsked("v3", (), "bob", Origin("s3://n/3"))) == []


def test_an_active_version_gets_its_artifact_without_a_new_route() -> None:
    playbook = Playbook().seed()
    found = playbook.tell(RegisterAsked("v1", (), "bob", Origin("s3://m/1")))
    assert not any(isinstance(command, PublishRoute | FillSlot) for command in found)
    assert (playbook.slot("v1"), playbook.registry.provenances["v1"].artifact) == (0, "s3://m/1")


def test_how_many() -> None:
    playbook = Playbook().seed()
    for number in range(RETIRED_MAX):
        playbook.tell(RegisterAsked(f"r{number}", ("http://r:1",), "ann"))
    assert refused(playbook, RegisterAsked("v4", ("http://v4:1",), "ann")) == "versions_exhausted"


def test_a_label_keeps_its_rewrite_until_the_version_is_moved() -> None:
    playbook = Playbook().seed()
    there = Rewrite("v3.example.com", None, "/run/key")
    playbook.tell(ev.DeployAsked("v3", ("http://v3:1",), "ann", rewrite=there))
    assert playbook.registry.targets["v3"].rewrite == there
    assert "rewrite" in playbook.entries[-1].fact.to_data()["target"]
    for other in (NO_REWRITE, Rewrite("other")):
        with pytest.raises(Refusal, match=r"v3\.example\.com") as caught:
            playbook.tell(ev.DeployAsked("v3", ("http://v3:1",), "ann", rewrite=other))
        assert caught.value.code == "rewrite_differs"
    assert playbook.tell(ev.DeployAsked("v3", (), "ann")) == []
    playbook.tell(ev.EndpointsAsked("v3", ("http://v3:2",), "ann"))
    assert playbook.registry.targets["v3"].rewrite == there
    playbook.tell(ev.EndpointsAsked("v3", ("http://v3:2",), "ann", NO_REWRITE))
    assert playbook.registry.targets["v3"].rewrite == NO_REWRITE


def test_an_entry_without_a_rewrite_is_that_of_an_older_router() -> None:
    playbook = Playbook().seed()
    playbook.tell(ev.DeployAsked("v3", ("http://v3:1",), "ann", rewrite=NO_REWRITE))
    assert set(playbook.entries[-1].fact.to_data()["target"]) == {"version", "endpoints"}
