from __future__ import annotations

from router.rollout.facts.entry import Entry
from router.rollout.machine.replay import rebuild
from router.rollout.model.events import Accepted, DeployAsked, Origin, RegisterAsked, RollbackAsked
from router.rollout.versions.provenance import Provenance, provenances_after
from tests.rollout.playbook import Playbook

HERE = Origin("s3://models/fraud/3", "models:/fraud/3")


def test_the_provenance_of_a_version() -> None:
    playbook = Playbook().seed()
    playbook.tell(RegisterAsked("v3", ("http://v3:1",), "ann", HERE), after_s=5)
    playbook.tell(DeployAsked("v3", (), "bob"), after_s=5)
    assert playbook.registry.provenances["v1"] == Provenance("settings", 10.0)
    assert playbook.registry.provenances["v3"] == Provenance("ann", 15.0, HERE.artifact, HERE.source)
    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()


def test_how_it_fared() -> None:
    playbook = Playbook().seed()
    playbook.tell(Accepted({"requests": 500}), after_s=600)
    playbook.tell(RollbackAsked("wrong scores", "ann"), after_s=5)
    assert playbook.registry.provenances["v1"].accepted_at == 610.0
    assert playbook.registry.provenances["v1"].rolled_back == {
        "at": 615.0, "incident": playbook.registry.incidents[0]["id"], "reason": "wrong scores",
    }  # fmt: skip
    assert playbook.registry.provenances["v2"].rolled_back is None


def test_an_entry_about_no_version_changes_nothing() -> None:
    known = {"v1": Provenance("ann", 1.0)}
    assert provenances_after(known, Entry.of("frozen", "svc", "ann", {"reason": ""}, 2.0, 0, 1)) is known
    for kind, data in (
        ("accepted", {"version": "v9", "baseline": None}),
        ("rolled_back", {"from": None, "incident": "i", "reason": ""}),
    ):
        assert provenances_after(known, Entry.of(kind, "svc", "ann", data, 2.0, 0, 1)) is known
