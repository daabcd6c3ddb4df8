"""A quarantined version becomes active by nobody's doing, unless somebody overrides: every way there is."""

from __future__ import annotations

import pytest

from router.errors import OperatorError
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
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
from tests.rollout.playbook import TRIGGER, Play
from tests.rollout.proposal_playbook import PROMOTION, approve, asked

SURE = Override("ann", "I know")
DRILL = {"drill": "svc-drill-1", "mode": "real", "from": "v1", "to": "v2", "why": "", "hold_s": 1.0, "timeout_s": 9.0}


def marked_standby() -> Play:
    """v1 is active; v2 is the standby, and has a mark of which it was relieved for a while: that is over now."""
    play = Play().seed("v2", "v1")
    play.tell(RollbackAsked("wrong scores", "ann"))
    play.tell(Ticked(frozenset({0})))
    play.tell(ReleaseAsked("v2", "ann", "look", 10.0))
    play.tell(DeployAsked("v2", ("http://v2:1",), "ann"))
    play.probe("v2", times=5)
    play.tell(SwitchAsked("v2", "ann", "try it"))
    play.tell(Ticked(), after_s=11)
    play.tell(SwitchAsked("v1", "ann", "enough", override=Override("ann", "back")))
    return play


def refused(play: Play, event: Event) -> str:
    before = play.registry.as_dict()
    with pytest.raises(OperatorError) as caught:
        play.tell(event)
    assert play.registry.as_dict() == before
    assert caught.value.status == 409
    return caught.value.code


@pytest.mark.parametrize(
    "event",
    [
        DeployAsked("v2", ("http://v2:1",), "eve"),
        SwitchAsked("v2", "eve", "x", kinds.PROMOTED),
        SwitchAsked("v2", "eve", "x", kinds.SWITCHED),
        RollbackAsked("bad", "eve"),
    ],
    ids=["deploy", "promote", "switch", "rollback"],
)
def test_people_are_refused(event: Event) -> None:
    play = marked_standby()
    assert (play.states(), list(play.registry.quarantines)) == ({"v1": "active", "v2": "standby"}, ["v2"])
    assert refused(play, event) == "version_quarantined"


def test_a_verdict_holds() -> None:
    play = marked_standby()
    play.probe("v2", times=3)
    play.tell(VerdictReached(TRIGGER, False))
    assert (play.states()["v1"], play.machine.blocked_reason) == ("active", "v2 is quarantined: wrong scores")


def test_a_drill_is_not_made() -> None:
    play = marked_standby()
    play.probe("v2", times=3)
    play.record(Record(kinds.DRILL_STARTED, "ann", DRILL))
    play.tell(DrillMoveAsked("svc-drill-1", False))
    assert (play.states()["v1"], play.machine.drill_held) == ("active", "v2 is quarantined: wrong scores")


def test_an_approved_proposal_goes_there_by_an_override_alone() -> None:
    play = marked_standby()
    play.probe("v2", times=3)
    play.tell(asked("v1"))
    assert refused(play, approve()) == "version_quarantined"
    play.tell(approve(override=SURE))
    assert (play.states()["v2"], list(play.registry.quarantines)) == ("active", ["v1"])


def test_an_approved_promotion_goes_there_by_an_override_alone() -> None:
    play = Play(RolloutLimits(proposals=ProposalRules(promote_needs_approval=True), warmup_probes=1)).seed()
    play.tell(DeployAsked("v3", ("http://v3:1",), "ann"))
    play.probe("v3")
    play.tell(SwitchAsked("v3", "ann", "promoted", kinds.PROMOTED))
    play.record(Record(kinds.QUARANTINED, "bob", {"quarantine": {"v3": {"reason": "bias", "incident": None}}}))
    assert refused(play, approve("bob", PROMOTION)) == "version_quarantined"
    play.tell(approve("bob", PROMOTION, override=SURE))
    assert (play.states()["v3"], play.registry.quarantines) == ("active", {})
