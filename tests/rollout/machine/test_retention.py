from __future__ import annotations

from router.rollout.machine.retention import Retained, deletable, retained
from router.rollout.model.events import (
    Accepted,
    DeployAsked,
    Origin,
    QuarantineAsked,
    RegisterAsked,
    ReleaseAsked,
    RollbackAsked,
    SwitchAsked,
    Ticked,  # fmt: skip
)
from tests.rollout.playbook import Playbook
from tests.texts import golden


def succession(*versions: str, accept: bool = True) -> Playbook:
    """Each of `versions` was promoted after the other, and accepted, beginning with v1."""
    playbook = Playbook().seed("v1", None)
    playbook.tell(RegisterAsked("v1", (), "ann", Origin("s3://m/v1")))
    for version in versions:
        if accept:
            playbook.tell(Accepted({"requests": 500}), after_s=600)
        playbook.tell(DeployAsked(version, (f"http://{version}:1",), "ann", origin=Origin(f"s3://m/{version}")))
        playbook.probe(version, times=5)
        playbook.tell(SwitchAsked(version, "ann", "next", "promoted"), after_s=10)
        for _ in range(3):
            playbook.tell(Ticked(frozenset(playbook.registry.targets)))
    return playbook


def kept(playbook: Playbook, keep: int = 2, understood: tuple[str, ...] = ()) -> dict[str, list[str]]:
    found = retained(playbook.registry, keep, understood, playbook.now_ns / 1e9)
    return {version.version: list(version.because) for version in found}


def test_the_last_accepted_ones_and_whatever_has_a_role() -> None:
    playbook = succession("v2", "v3", "v4", "v5")
    playbook.tell(RegisterAsked("v7", ("http://v7:1",), "ann"))
    playbook.tell(DeployAsked("v6", ("http://v6:1",), "ann"))
    assert kept(playbook) == {
        "v5": ["active"],
        "v4": ["standby", golden("retention.recently_accepted")],
        "v3": [golden("retention.recently_accepted")],
        "v2": [],
        "v1": [],
        "v7": ["registered, not deployed yet"],
        "v6": ["candidate"],
    }
    found = retained(playbook.registry, 2, (), playbook.now_ns / 1e9)
    assert deletable(found) == ["s3://m/v1", "s3://m/v2"]
    assert found[-1].as_dict() == {"version": "v6", "artifact": None, "because": ["candidate"]}


def test_a_version_that_was_never_accepted_is_not_kept_for_that() -> None:
    playbook = succession("v2", "v3", "v4", accept=False)
    assert kept(playbook) == {"v4": ["active"], "v3": ["standby"], "v2": [], "v1": []}


def test_a_quarantined_one_is_kept_until_the_root_cause_of_its_incident_is_known() -> None:
    playbook = succession("v2", "v3", accept=False)
    playbook.tell(RollbackAsked("wrong scores", "ann"))
    playbook.tell(Ticked(frozenset(playbook.registry.targets)))
    incident = playbook.registry.incidents[0]["id"]
    assert kept(playbook)["v3"] == [golden("retention.unknown_cause", incident=incident)]
    assert kept(playbook, understood=(incident,))["v3"] == []
    playbook.tell(ReleaseAsked("v3", "ann", "to look at it", 60.0))
    assert kept(playbook)["v3"] != [], "its mark comes back"
    playbook.tell(ReleaseAsked("v3", "ann", "for good"))
    assert kept(playbook)["v3"] == []


def test_one_that_was_quarantined_by_hand_is_kept_until_it_is_released() -> None:
    playbook = succession("v2", "v3", accept=False)
    playbook.tell(QuarantineAsked("v1", "ann", "bias"))
    assert kept(playbook)["v1"] == [golden("retention.quarantined_by_hand")]


def test_what_drains_or_may_come_back_is_kept() -> None:
    playbook = Playbook().seed()
    playbook.probe("v2", times=3)
    playbook.verdict(away=True)
    assert kept(playbook)["v1"] == [golden("retention.may_come_back")]
    playbook.tell(DeployAsked("v3", ("http://v3:1",), "ann"))
    playbook.tell(DeployAsked("v4", ("http://v4:1",), "ann", replace=True))
    assert kept(playbook)["v3"] == [golden("retention.draining")]


def test_an_artifact_that_two_versions_share_is_kept_for_both() -> None:
    shared = [
        Retained("a", "s3://x", ()),
        Retained("b", "s3://x", ("active",)),
        Retained("c", "s3://y", ()),
        Retained("d", None, ()),
    ]
    assert deletable(shared) == ["s3://y"]
