from __future__ import annotations

import pytest

from router.errors import OperatorError
from router.rollout.machine import registration
from router.rollout.machine.replay import rebuild
from router.rollout.model.events import DeployAsked, Event, Origin, RegisterAsked, RetireAsked
from tests.rollout.playbook import Play

V3 = RegisterAsked("v3", ("http://v3:1",), "ann", Origin("s3://m/3"))


def refused(play: Play, event: Event) -> tuple[int, str]:
    before = play.registry.as_dict()
    with pytest.raises(OperatorError) as caught:
        play.tell(event)
    assert play.registry.as_dict() == before
    return caught.value.status, caught.value.code


def test_a_registered_version_is_known_and_changes_no_route() -> None:
    play = Play().seed()
    route = play.registry.route()
    play.tell(V3)
    assert play.states() == {"v1": "active", "v2": "standby", "v3": "registered"}
    assert (play.registry.route(), play.registry.targets["v3"].role) == (route, "none")
    assert play.tell(V3) == [], "it is known already"
    assert rebuild("svc", play.entries).as_dict() == play.registry.as_dict()


def test_it_is_deployed_without_naming_its_endpoints_again() -> None:
    play = Play().seed()
    play.tell(V3)
    play.tell(DeployAsked("v3", (), "bob"))
    assert (play.states()["v3"], play.registry.targets["v3"].endpoints) == ("verifying", ("http://v3:1",))


def test_it_is_retired_without_having_served() -> None:
    play = Play().seed()
    play.tell(V3)
    play.tell(RetireAsked("v3", "ann"))
    assert play.states()["v3"] == "retired"


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (RegisterAsked("v9", (), "ann"), 400, "endpoints_needed"),
        (DeployAsked("v9", (), "ann"), 400, "endpoints_needed"),
        (RegisterAsked("v3", ("http://other:1",), "ann"), 409, "endpoints_differ"),
        (DeployAsked("v3", ("http://v3:1",), "ann", origin=Origin("s3://m/4")), 409, "artifact_differs"),
        (DeployAsked("v3", ("http://v3:1",), "ann", origin=Origin(None, "models:/m/4")), 409, "source_differs"),
        (RegisterAsked("v3", (), "ann", Origin(None, "models:/m/4")), 409, "source_differs"),
    ],
    ids=["unknown", "deployed unknown", "elsewhere", "other artifact", "other source", "registered with other source"],
)
def test_a_label_keeps_meaning_the_same(event: Event, status: int, code: str) -> None:
    play = Play().seed()
    play.tell(RegisterAsked("v3", ("http://v3:1",), "ann", Origin("s3://m/3", "models:/m/3")))
    assert refused(play, event) == (status, code)


def test_an_artifact_is_corrected_explicitly() -> None:
    play = Play().seed()
    play.tell(V3)
    play.tell(RegisterAsked("v3", (), "bob", Origin("s3://n/3", "models:/m/3")))
    pedigree = play.registry.pedigrees["v3"]
    assert (pedigree.artifact, pedigree.source, pedigree.registered_by) == ("s3://n/3", "models:/m/3", "ann")
    assert play.tell(RegisterAsked("v3", (), "bob", Origin("s3://n/3"))) == []


def test_an_active_version_gets_its_artifact_without_a_new_route() -> None:
    play = Play().seed()
    before = play.registry.route()
    play.tell(RegisterAsked("v1", (), "bob", Origin("s3://m/1")))
    assert (play.registry.route(), play.registry.pedigrees["v1"].artifact) == (before, "s3://m/1")
    assert play.registry.targets["v1"].slot == 0


def test_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "RETIRED_MAX", 1)
    play = Play().seed()
    play.tell(V3)
    assert refused(play, RegisterAsked("v4", ("http://v4:1",), "ann")) == (409, "versions_exhausted")
