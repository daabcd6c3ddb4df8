"""A quarantined version becomes active by nobody's doing, unless somebody overrides: every way there is."""

from __future__ import annotations

import pytest

from router.errors import Refusal
from router.rollout.facts.record import Record
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model.events import (
    DeployAsked,
    DrillMoveAsked,
    Event,
    Override,
    ReleaseAsked,
    RollbackAsked,
    SwitchAsked,
    Ticked,
    VerdictReached,  # fmt: skip
)
from router.rollout.proposals.proposal import ProposalRules
from tests import entry_types
from tests.rollout.playbook import TRIGGER, Playbook
from tests.rollout.proposal_playbook import PROMOTION, approve, proposal_due

SURE = Override("ann", "I know")
DRILL = {"drill": "svc-drill-1", "mode": "real", "from": "v1", "to": "v2", "why": "", "hold_s": 1.0, "timeout_s": 9.0}


def marked_standby() -> Playbook:
    """v1 is active; v2 is the standby, and has a mark of which it was relieved for a while: that is over now."""
    playbook = Playbook().seed("v2", "v1")
    playbook.tell(RollbackAsked("wrong scores", "ann"))
    playbook.tell(Ticked(frozenset({"v2"})))
    playbook.tell(ReleaseAsked("v2", "ann", "look", 10.0))
    playbook.tell(DeployAsked("v2", ("http://v2:1",), "ann"))
    playbook.probe("v2", times=5)
    playbook.tell(SwitchAsked("v2", "ann", "try it"))
    playbook.tell(Ticked(), after_s=11)
    playbook.tell(SwitchAsked("v1", "ann", "enough", override=Override("ann", "back")))
    return playbook


def refused(playbook: Playbook, event: Event) -> str:
    before = playbook.registry.as_dict()
    with pytest.raises(Refusal) as caught:
        playbook.tell(event)
    assert playbook.registry.as_dict() == before
    assert caught.value.code == "version_quarantined"
    return caught.value.code


@pytest.mark.parametrize(
    "event",
    [
        DeployAsked("v2", ("http://v2:1",), "eve"),
        SwitchAsked("v2", "eve", "x", entry_types.PROMOTED),
        SwitchAsked("v2", "eve", "x", entry_types.SWITCHED),
        RollbackAsked("bad", "eve"),
    ],
    ids=["deploy", "promote", "switch", "rollback"],
)
def test_operators_are_refused(event: Event) -> None:
    playbook = marked_standby()
    assert (playbook.states(), list(playbook.registry.quarantines)) == ({"v1": "active", "v2": "standby"}, ["v2"])
    assert refused(playbook, event) == "version_quarantined"


def test_a_verdict_holds() -> None:
    playbook = marked_standby()
    playbook.probe("v2", times=3)
    playbook.tell(VerdictReached(TRIGGER, False))
    assert (playbook.states()["v1"], playbook.machine.blocked_reason) == ("active", "v2 is quarantined: wrong scores")


def test_a_drill_is_not_made() -> None:
    playbook = marked_standby()
    playbook.probe("v2", times=3)
    playbook.record(Record.of(entry_types.DRILL_STARTED, "ann", DRILL))
    playbook.tell(DrillMoveAsked("svc-drill-1", False))
    assert (playbook.states()["v1"], playbook.machine.drill_blocked_reason) == (
        "active",
        "v2 is quarantined: wrong scores",
    )


def test_an_approved_proposal_goes_there_by_an_override_alone() -> None:
    playbook = marked_standby()
    playbook.probe("v2", times=3)
    playbook.tell(proposal_due("v1"))
    assert refused(playbook, approve()) == "version_quarantined"
    playbook.tell(approve(override=SURE))
    assert (playbook.states()["v2"], list(playbook.registry.quarantines)) == ("active", ["v1"])


def test_an_approved_promotion_goes_there_by_an_override_alone() -> None:
    playbook = Playbook(RolloutLimits(proposals=ProposalRules(promote_needs_approval=True), warmup_probes=1)).seed()
    playbook.tell(DeployAsked("v3", ("http://v3:1",), "ann"))
    playbook.probe("v3")
    playbook.tell(SwitchAsked("v3", "ann", "promoted", entry_types.PROMOTED))
    playbook.record(
        Record.of(entry_types.QUARANTINED, "bob", {"quarantine": {"v3": {"reason": "bias", "incident": None}}})
    )
    assert refused(playbook, approve("bob", PROMOTION)) == "version_quarantined"
    playbook.tell(approve("bob", PROMOTION, override=SURE))
    assert (playbook.states()["v3"], playbook.registry.quarantines) == ("active", {})
