"""What opens a proposal, who may decide it when, and that each is decided once: tables over the machine."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.store.records.effective import effective_of
from router.rollout.facts.evidence_time import in_memory
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.replay import rebuild
from router.rollout.model.commands import CheckStandby, PublishRoute
from router.rollout.model.events import (
    FreezeAsked,
    Override,
    ProposalDecided,
    RollbackAsked,
    StandbyChecked,
    SwitchAsked,
    Ticked,
    VerdictReached,
)
from router.rollout.proposals.proposal import EVIDENCE_MAX
from tests import entry_types
from tests.rollout.playbook import SECOND, Playbook
from tests.rollout.proposal_playbook import (
    BACK,
    HOLD,
    ID,
    SLOW,
    approve,
    deny,
    played,
    proposal,
    proposal_due,
    refused,
    types,
)


# -- asking
def test_a_cause_opens_one_proposal_with_its_evidence() -> None:
    playbook = played()
    impact = {"requests": 9}
    assert types(playbook.tell(proposal_due(alert={"summary": "s"}, impact=impact))) == ["proposed"]
    opened = proposal(playbook)
    assert (opened.kind, opened.version, opened.left, opened.to, opened.state) == ("rollback", "v1", "v1", "v2", "open")
    assert (opened.reason, opened.opened_by, opened.at_expiry) == ("half of them are late", "verdict", "hold")
    assert opened.deadline_ns == playbook.now_ns + 100 * SECOND
    [item] = opened.evidence
    assert (item["cause"], item["trigger"], item["alert"], item["impact"]) == (
        "latency",
        SLOW,
        {"summary": "s"},
        impact,
    )
    assert playbook.states() == {"v1": "active", "v2": "standby"}


def test_a_known_cause_is_ignored_and_another_is_evidence() -> None:
    playbook = played()
    playbook.tell(proposal_due())
    assert playbook.tell(proposal_due(), 1.0) == []
    assert types(playbook.tell(proposal_due(cause="business:churn", actor="alertmanager"), 1.0)) == ["evidence_added"]
    assert playbook.tell(proposal_due(cause="business:churn"), 1.0) == []
    for number in range(2 * EVIDENCE_MAX):
        playbook.tell(proposal_due(cause=f"business:{number}"))
    assert len(proposal(playbook).evidence) == EVIDENCE_MAX
    assert list(playbook.registry.proposals.known) == [ID]


def test_no_proposal_is_opened_for_a_version_that_is_not_active() -> None:
    playbook = played()
    assert playbook.tell(proposal_due("v2")) == []
    assert playbook.tell(proposal_due("v9")) == []


# -- deciding on a rollback
def test_an_approval_is_a_rollback_with_the_approver() -> None:
    playbook = played()
    playbook.tell(proposal_due())
    commands = playbook.tell(approve(reason="yes", impact={"requests": 3}), 5.0)
    assert types(commands) == ["rolled_back", "approved"]
    assert [type(command) for command in commands].count(PublishRoute) == 1
    assert playbook.states() == {"v1": "draining", "v2": "active"}
    made = next(entry for entry in playbook.entries if entry.type == entry_types.ROLLED_BACK)
    members = made.fact.to_data()
    assert (made.actor, members["proposal"], members["automatic"]) == ("ann", ID, False)
    assert in_memory(members["trigger"], made.monotonic_ns) == SLOW
    assert made.fact.to_data()["evidence"] == {"requests": 3}
    assert playbook.registry.quarantines["v1"]["incident"] == made.fact.to_data()["incident"]
    result = playbook.registry.incidents[-1]
    assert (result["actor"], result["proposal"], result["trigger"], result["manual"]) == ("ann", ID, SLOW, True)
    closed = proposal(playbook)
    assert (closed.state, closed.decided_by, closed.decision_reason, closed.incident) == (
        "approved",
        "ann",
        "yes",
        result["id"],
    )
    assert playbook.tell(Ticked(), 1.0) == []


def test_a_denial_leaves_everything_and_the_same_cause_is_silent_for_a_while() -> None:
    playbook = played()
    playbook.tell(proposal_due())
    assert types(playbook.tell(deny())) == ["denied"]
    assert playbook.states() == {"v1": "active", "v2": "standby"}
    assert (proposal(playbook).state, proposal(playbook).decision_reason) == ("denied", "it is the campaign")
    assert playbook.tell(proposal_due(), 59.0) == []
    assert types(playbook.tell(proposal_due(cause="error_rate"))) == ["proposed"], "another cause is another question"
    playbook.tell(deny(proposal="svc-rollback-2"))
    assert types(playbook.tell(proposal_due(), 1.0)) == ["proposed"]
    assert playbook.registry.proposals.pending()[0].id == "svc-rollback-3"


def test_neither_a_freeze_nor_an_earlier_rollback_stops_an_operator() -> None:
    playbook = played()
    playbook.tell(FreezeAsked("bob", "a demo"))
    playbook.registry.automatic_left = False
    playbook.tell(proposal_due())
    playbook.tell(approve())
    assert playbook.states()["v2"] == "active"


@pytest.mark.parametrize(
    ("bad_probes", "shares"),
    [pytest.param(True, None, id="its probes"), pytest.param(False, (0.5, 0.2, 9), id="the requests rescued there")],
)
def test_a_standby_that_is_no_better_needs_an_override(bad_probes: bool, shares: Any) -> None:
    playbook = played()
    playbook.tell(proposal_due())
    if bad_probes:
        playbook.probe("v2", ok=False)
    assert refused(playbook, approve(shares=shares)) == "standby_unfit"
    playbook.tell(approve(shares=shares, override=Override("ann", "v1 leaks")))
    assert playbook.states()["v2"] == "active"
    assert playbook.entries[-1].fact.to_data()["override"] == {"actor": "ann", "reason": "v1 leaks"}


def test_without_a_standby_there_is_nothing_to_approve_but_to_deny() -> None:
    playbook = Playbook(RolloutLimits(proposals=HOLD)).seed(standby=None)
    playbook.tell(proposal_due())
    assert proposal(playbook).to is None
    assert refused(playbook, approve(override=Override("ann", "x"))) == "no_standby"
    assert types(playbook.tell(deny())) == ["denied"]


def ended_by(how: str) -> Playbook:
    playbook = played()
    playbook.tell(proposal_due())
    match how:
        case "approved":
            playbook.tell(approve("bob"))
        case "denied":
            playbook.tell(deny("bob"))
        case "expired":
            playbook.tell(Ticked(), 100.0)
        case "expired, a moment ago":
            playbook.now_ns += 100 * SECOND
        case "rolled back by a verdict":
            playbook.verdict()
        case "rolled back by hand":
            playbook.tell(RollbackAsked("bad", "bob"))
        case "switched":
            playbook.tell(SwitchAsked("v2", "bob", "x"))
    return playbook


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("approved", "proposal_decided"),
        ("denied", "proposal_decided"),
        ("expired", "proposal_expired"),
        ("expired, a moment ago", "proposal_expired"),
        ("rolled back by a verdict", "proposal_withdrawn"),
        ("rolled back by hand", "proposal_withdrawn"),
        ("switched", "proposal_withdrawn"),
    ],
)
@pytest.mark.parametrize("late", [approve(), deny()], ids=["approve", "deny"])
def test_a_closed_proposal_cannot_be_decided(how: str, expected: str, late: ProposalDecided) -> None:
    playbook = ended_by(how)
    assert refused(playbook, late) == expected
    playbook.tell(Ticked())
    assert refused(playbook, late) == expected


def test_an_unknown_proposal_is_not_found() -> None:
    playbook = played()
    assert refused(playbook, approve(proposal="svc-rollback-9")) == "proposal_unknown"
    assert refused(playbook, deny(proposal="x\x00y")) == "proposal_unknown"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("rolled back by a verdict", "v1 is no longer active, v2 is: rolled back by verdict"),
        ("rolled back by hand", "v1 is no longer active, v2 is: rolled back by bob"),
        ("switched", "v1 is no longer active, v2 is: switched by bob"),
    ],
)
def test_a_proposal_is_withdrawn_when_its_version_is_no_longer_active(how: str, why: str) -> None:
    playbook = ended_by(how)
    assert types(playbook.tell(Ticked())) == ["withdrawn"]
    assert (proposal(playbook).state, proposal(playbook).decision_reason, proposal(playbook).decided_by) == (
        "withdrawn",
        why,
        "control",
    )
    assert playbook.tell(Ticked(), 1.0) == []


# -- expiry
def test_without_a_decision_the_default_hold_applies() -> None:
    playbook = played()
    playbook.tell(proposal_due())
    assert playbook.tell(Ticked(), 99.9) == []
    assert types(playbook.tell(Ticked(), 0.1)) == ["proposal_expired"]
    assert (proposal(playbook).state, playbook.states()) == ("expired", {"v1": "active", "v2": "standby"})
    assert playbook.tell(proposal_due(), 59.0) == []
    assert types(playbook.tell(proposal_due(), 1.0)) == ["proposed"]


def default_due(playbook: Playbook) -> VerdictReached:
    """What the bench tells the machine while a default is due."""
    [waiting] = playbook.registry.proposals.pending()
    assert waiting.state == "due"
    return VerdictReached(SLOW, False, proposal=waiting.id)


def test_without_a_decision_the_default_rollback_is_made() -> None:
    playbook = played(BACK)
    playbook.tell(proposal_due())
    assert types(playbook.tell(Ticked(), 100.0)) == ["proposal_expired"]
    assert types(playbook.tell(default_due(playbook))) == ["rolled_back"]
    made = playbook.entries[-1]
    assert (made.actor, made.fact.to_data()["automatic"], made.fact.to_data()["proposal"]) == ("verdict", True, ID)
    assert playbook.registry.incidents[-1]["proposal"] == ID
    assert (proposal(playbook).state, proposal(playbook).incident) == ("expired", made.fact.to_data()["incident"])
    assert not playbook.registry.automatic_left
    assert playbook.tell(Ticked(), 1.0) == []


@pytest.mark.parametrize("obstacle", ["frozen", "bad probes", "rolled back once already"])
def test_a_default_goes_through_the_gate_of_every_automatic_rollback(obstacle: str) -> None:
    playbook = played(BACK)
    playbook.tell(proposal_due())
    if obstacle == "frozen":
        playbook.tell(FreezeAsked("bob", "a demo"))
    elif obstacle == "bad probes":
        playbook.probe("v2", ok=False)
    else:
        playbook.registry.automatic_left = False
    playbook.tell(Ticked(), 100.0)
    playbook.tell(default_due(playbook))
    assert playbook.machine.blocked_reason is not None
    assert playbook.states() == {"v1": "active", "v2": "standby"}
    playbook.tell(default_due(playbook), 1.0)
    assert [entry.type for entry in playbook.entries].count(entry_types.PROPOSAL_EXPIRED) == 1
    how = deny() if obstacle == "frozen" else approve(override=Override("ann", "better than nothing"))
    playbook.tell(how)
    assert proposal(playbook).state == ("denied" if obstacle == "frozen" else "approved")
    assert playbook.registry.proposals.pending() == []


# -- restarts
@pytest.mark.parametrize("how", ["approved", "denied", "expired", "rolled back by a verdict"])
def test_what_a_restart_reads_is_what_was(how: str) -> None:
    playbook = ended_by(how)
    playbook.tell(Ticked())
    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()


@pytest.mark.parametrize(("stored", "state"), [(1, "open"), (2, "approved")])
def test_an_approval_is_true_exactly_if_its_route_was_stored(stored: int, state: str) -> None:
    """Control died between the journal and the store, or after it; the memory that outlived it says which."""
    playbook = played()
    generation = playbook.registry.generation
    playbook.tell(proposal_due())
    playbook.tell(approve())
    found = rebuild("svc", effective_of("svc", playbook.entries, generation + stored - 1))
    assert found.proposals.known[ID].state == state
    assert {version: target.state.value for version, target in found.targets.items()}["v2"] == (
        "active" if state == "approved" else "standby"
    )


def test_an_approval_that_a_verdict_overtook_is_none() -> None:
    """The person's change was on the disk, and the rollback of a verdict was stored meanwhile, based on what was before."""
    playbook = played()
    playbook.tell(proposal_due())
    before = list(playbook.entries)
    playbook.tell(approve())
    in_vain = playbook.entries[len(before) :]
    other = played()
    other.tell(proposal_due())
    other.verdict()
    overtaking = other.entries[-1]
    assert overtaking.type == entry_types.ROLLED_BACK
    found = rebuild("svc", effective_of("svc", [*before, *in_vain, overtaking]))
    assert found.proposals.known[ID].state == "open"
    assert found.incidents[-1]["actor"] == "verdict"


def test_a_default_denied_during_the_standby_probe_is_not_made() -> None:
    playbook = Playbook(RolloutLimits(inference=True, proposals=BACK)).seed()
    playbook.probe("v2", times=3)
    playbook.tell(proposal_due())
    playbook.tell(Ticked(), 100.0)
    [check] = playbook.tell(default_due(playbook))
    assert isinstance(check, CheckStandby)
    playbook.tell(deny())
    assert playbook.tell(StandbyChecked(True, "", check.generation)) == []
    assert playbook.states() == {"v1": "active", "v2": "standby"}


def test_evidence_that_comes_while_a_denial_is_written_is_not_denied_with_it() -> None:
    """The journal has the denial first, memory the evidence: a restart would not know that this cause shall be silent. What is
    not the same any more is refused when the disk has it (executor.py), so the person looks again.
    """
    playbook = played()
    playbook.tell(proposal_due())
    before = playbook.machine.handle(deny(), playbook.now_ns)
    assert types(playbook.tell(proposal_due(cause="business:churn"))) == ["evidence_added"]
    assert playbook.machine.handle(deny(), playbook.now_ns) != before
    playbook.tell(deny())
    assert rebuild("svc", playbook.entries).as_dict() == playbook.registry.as_dict()
