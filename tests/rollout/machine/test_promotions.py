"""Where promotions need approval, one person asks and another one decides."""

from __future__ import annotations

import pytest

from router.rollout.machine.proposal_rules import FORWARD
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.events import (
    DeployAsked,
    DrillMoveAsked,
    Override,
    ProposalDecided,
    RollbackAsked,
    SwitchAsked,
    Ticked,
)
from router.rollout.model.target import State
from router.rollout.proposals.proposal import ProposalRules
from tests.rollout.playbook import SECOND
from tests.rollout.proposal_playbook import ID, PROMOTE, PROMOTION, approve, asked, candidate, proposal, refused, types


def test_only_what_a_person_brings_in_needs_approval() -> None:
    assert {State.READY, State.UNREACHABLE} == FORWARD


@pytest.mark.parametrize("verb", [kinds.PROMOTED, kinds.SWITCHED])
def test_a_promotion_waits_for_somebody_else(verb: str) -> None:
    play = candidate()
    asking = SwitchAsked("v3", "ann", "better", verb)
    assert types(play.tell(asking)) == ["proposed"]
    assert play.tell(asking, 1.0) == [], "it waits already"
    opened = proposal(play, PROMOTION)
    assert (opened.kind, opened.version, opened.left, opened.to, opened.opened_by) == (
        "promotion",
        "v3",
        "v1",
        "v3",
        "ann",
    )
    assert refused(play, approve("ann", PROMOTION, four_eyes=True)) == (403, "four_eyes")
    commands = play.tell(approve("bob", PROMOTION, four_eyes=True))
    assert types(commands) == [verb, "approved"]
    made = next(entry for entry in play.entries if entry.type == verb)
    assert (made.actor, made.data["proposal"], made.data["reason"]) == ("bob", PROMOTION, "better")
    assert play.states() == {"v1": "standby", "v2": "draining", "v3": "active"}
    assert proposal(play, PROMOTION).state == "approved"
    assert play.registry.automatic_left


def test_without_tokens_nobody_can_tell_two_people_apart() -> None:
    play = candidate()
    play.tell(PROMOTE)
    assert types(play.tell(approve("ann", PROMOTION)))[0] == "promoted"


def test_who_asked_may_take_it_back() -> None:
    play = candidate()
    play.tell(PROMOTE)
    play.tell(ProposalDecided(PROMOTION, "deny", "ann", four_eyes=True))
    assert proposal(play, PROMOTION).state == "denied"
    assert types(play.tell(PROMOTE)) == ["proposed"], "a person may ask again at once"


def test_an_override_passes_and_the_question_is_withdrawn() -> None:
    play = candidate()
    play.tell(PROMOTE)
    override = Override("ann", "the old one leaks")
    assert types(play.tell(SwitchAsked("v3", "ann", "x", kinds.PROMOTED, override))) == ["promoted"]
    assert play.entries[-1].data["override"] == {"actor": "ann", "reason": "the old one leaks"}
    assert types(play.tell(Ticked())) == ["withdrawn"]


def test_going_back_is_never_delayed() -> None:
    play = candidate()
    assert types(play.tell(SwitchAsked("v2", "ann", "x"))) == ["switched"]
    play = candidate()
    assert types(play.tell(RollbackAsked("bad", "ann"))) == ["rolled_back"]


def test_what_is_no_candidate_is_refused_before_anybody_is_asked() -> None:
    play = candidate()
    assert refused(play, SwitchAsked("v9", "ann", "x")) == (404, "version_unknown")
    play.tell(SwitchAsked("v2", "ann", "x"))
    play.tell(RollbackAsked("bad", "ann"))
    assert refused(play, SwitchAsked("v2", "ann", "x")) == (409, "version_quarantined")
    assert play.registry.proposals.known == {}


@pytest.mark.parametrize("what", ["the active version changed", "it is no candidate any more", "nobody decided"])
def test_a_promotion_that_nobody_approves_is_not_made(what: str) -> None:
    play = candidate()
    play.tell(PROMOTE)
    if what == "the active version changed":
        play.verdict()
    elif what == "it is no candidate any more":
        play.tell(DeployAsked("v4", ("http://v4:1",), "ann", replace=True))
    else:
        play.now_ns += 1000 * SECOND
    code = "proposal_expired" if what == "nobody decided" else "proposal_withdrawn"
    assert refused(play, approve("bob", PROMOTION)) == (410, code)
    play.tell(Ticked())
    assert proposal(play, PROMOTION).state == ("expired" if what == "nobody decided" else "withdrawn")


def test_rollback_and_promotion_may_wait_side_by_side() -> None:
    play = candidate(ProposalRules(promote_needs_approval=True))
    play.tell(PROMOTE)
    play.tell(asked())
    assert [waiting.id for waiting in play.registry.proposals.pending()] == [PROMOTION, ID]
    play.tell(approve())
    assert play.states()["v2"] == "active"
    assert types(play.tell(Ticked())) == ["withdrawn"], "v3 was to follow v1, which is gone"


def test_a_drill_is_no_change_of_the_active_version() -> None:
    """While it is away, nobody is asked about the standby that serves; what waits goes on waiting."""
    play = candidate()
    play.tell(PROMOTE)
    play.record(Record(kinds.DRILL_STARTED, "ann", {"drill": "d1", "mode": "real", "from": "v1", "to": "v2"}))
    play.tell(DrillMoveAsked("d1", home=False))
    assert play.states()["v2"] == "active"
    assert play.tell(asked("v2")) == []
    assert play.tell(asked("v1")) == []
    assert types(play.tell(Ticked())) == []
    assert types(play.tell(approve("bob", PROMOTION))) == ["promoted", "approved"]
    assert play.states()["v3"] == "active"
