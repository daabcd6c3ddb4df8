"""Where promotions need approval, one person asks and another one decides."""

from __future__ import annotations

import pytest

from router.rollout.facts.record import Record
from router.rollout.machine.proposal_rules import FORWARD
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
from tests import entry_types
from tests.rollout.playbook import SECOND
from tests.rollout.proposal_playbook import (
    ID,
    PROMOTE,
    PROMOTION,
    approve,
    candidate,
    proposal,
    proposal_due,
    refused,
    types,
)


def test_only_promoted_candidates_need_approval() -> None:
    assert {State.READY, State.UNREACHABLE} == FORWARD


@pytest.mark.parametrize("verb", [entry_types.PROMOTED, entry_types.SWITCHED])
def test_a_promotion_waits_for_another_operator(verb: str) -> None:
    playbook = candidate()
    asking = SwitchAsked("v3", "ann", "better", verb)
    assert types(playbook.tell(asking)) == ["proposed"]
    assert playbook.tell(asking, 1.0) == [], "it waits already"
    opened = proposal(playbook, PROMOTION)
    assert (opened.kind, opened.version, opened.left, opened.to, opened.opened_by) == (
        "promotion",
        "v3",
        "v1",
        "v3",
        "ann",
    )
    assert refused(playbook, approve("ann", PROMOTION, four_eyes=True)) == "four_eyes"
    commands = playbook.tell(approve("bob", PROMOTION, four_eyes=True))
    assert types(commands) == [verb, "approved"]
    made = next(entry for entry in playbook.entries if entry.type == verb)
    assert (made.actor, made.fact.to_data()["proposal"], made.fact.to_data()["reason"]) == ("bob", PROMOTION, "better")
    assert playbook.states() == {"v1": "standby", "v2": "draining", "v3": "active"}
    assert proposal(playbook, PROMOTION).state == "approved"
    assert playbook.registry.automatic_left


def test_without_tokens_four_eyes_are_not_enforced() -> None:
    playbook = candidate()
    playbook.tell(PROMOTE)
    assert types(playbook.tell(approve("ann", PROMOTION)))[0] == "promoted"


def test_the_requester_may_deny() -> None:
    playbook = candidate()
    playbook.tell(PROMOTE)
    playbook.tell(ProposalDecided(PROMOTION, "deny", "ann", four_eyes=True))
    assert proposal(playbook, PROMOTION).state == "denied"
    assert types(playbook.tell(PROMOTE)) == ["proposed"], "a person may ask again at once"


def test_an_override_passes_and_the_question_is_withdrawn() -> None:
    playbook = candidate()
    playbook.tell(PROMOTE)
    override = Override("ann", "the old one leaks")
    assert types(playbook.tell(SwitchAsked("v3", "ann", "x", entry_types.PROMOTED, override))) == ["promoted"]
    assert playbook.entries[-1].fact.to_data()["override"] == {"actor": "ann", "reason": "the old one leaks"}
    assert types(playbook.tell(Ticked())) == ["withdrawn"]


def test_going_back_is_never_delayed() -> None:
    playbook = candidate()
    assert types(playbook.tell(SwitchAsked("v2", "ann", "x"))) == ["switched"]
    playbook = candidate()
    assert types(playbook.tell(RollbackAsked("bad", "ann"))) == ["rolled_back"]


def test_a_version_that_is_no_candidate_needs_no_proposal_to_be_refused() -> None:
    playbook = candidate()
    assert refused(playbook, SwitchAsked("v9", "ann", "x")) == "version_unknown"
    playbook.tell(SwitchAsked("v2", "ann", "x"))
    playbook.tell(RollbackAsked("bad", "ann"))
    assert refused(playbook, SwitchAsked("v2", "ann", "x")) == "version_quarantined"
    assert playbook.registry.proposals.known == {}


@pytest.mark.parametrize("what", ["the active version changed", "it is no candidate any more", "nobody decided"])
def test_a_promotion_without_approval_is_not_made(what: str) -> None:
    playbook = candidate()
    playbook.tell(PROMOTE)
    if what == "the active version changed":
        playbook.verdict()
    elif what == "it is no candidate any more":
        playbook.tell(DeployAsked("v4", ("http://v4:1",), "ann", replace=True))
    else:
        playbook.now_ns += 1000 * SECOND
    code = "proposal_expired" if what == "nobody decided" else "proposal_withdrawn"
    assert refused(playbook, approve("bob", PROMOTION)) == code
    playbook.tell(Ticked())
    assert proposal(playbook, PROMOTION).state == ("expired" if what == "nobody decided" else "withdrawn")


def test_rollback_and_promotion_may_wait_side_by_side() -> None:
    playbook = candidate(ProposalRules(promote_needs_approval=True))
    playbook.tell(PROMOTE)
    playbook.tell(proposal_due())
    assert [waiting.id for waiting in playbook.registry.proposals.pending()] == [PROMOTION, ID]
    playbook.tell(approve())
    assert playbook.states()["v2"] == "active"
    assert types(playbook.tell(Ticked())) == ["withdrawn"], "v3 was to follow v1, which is gone"


def test_a_drill_is_no_change_of_the_active_version() -> None:
    """While it is away, nobody is asked about the standby that serves; what waits goes on waiting."""
    playbook = candidate()
    playbook.tell(PROMOTE)
    playbook.record(
        Record.of(entry_types.DRILL_STARTED, "ann", {"drill": "d1", "mode": "real", "from": "v1", "to": "v2"})
    )
    playbook.tell(DrillMoveAsked("d1", home=False))
    assert playbook.states()["v2"] == "active"
    assert playbook.tell(proposal_due("v2")) == []
    assert playbook.tell(proposal_due("v1")) == []
    assert types(playbook.tell(Ticked())) == []
    assert types(playbook.tell(approve("bob", PROMOTION))) == ["promoted", "approved"]
    assert playbook.states()["v3"] == "active"
