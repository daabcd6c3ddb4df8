"""What opens a proposal, who may decide it when, and that each is decided once: tables over the machine."""

from __future__ import annotations

from typing import Any

import pytest

from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.replay import rebuild
from router.rollout.model import entry as kinds
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
from tests.rollout.playbook import SECOND, Play
from tests.rollout.proposal_playbook import BACK, HOLD, ID, SLOW, approve, asked, deny, played, proposal, refused, types


# -- asking
def test_what_asks_opens_one_proposal_with_its_evidence() -> None:
    play = played()
    impact = {"requests": 9}
    assert types(play.tell(asked(alert={"summary": "s"}, impact=impact))) == ["proposed"]
    opened = proposal(play)
    assert (opened.kind, opened.version, opened.left, opened.to, opened.state) == ("rollback", "v1", "v1", "v2", "open")
    assert (opened.reason, opened.opened_by, opened.at_expiry) == ("half of them are late", "verdict", "hold")
    assert opened.deadline_ns == play.now_ns + 100 * SECOND
    [item] = opened.evidence
    assert (item["cause"], item["trigger"], item["alert"], item["impact"]) == (
        "latency",
        SLOW,
        {"summary": "s"},
        impact,
    )
    assert play.states() == {"v1": "active", "v2": "standby"}


def test_what_asks_again_is_not_said_again_and_what_else_asks_is_evidence() -> None:
    play = played()
    play.tell(asked())
    assert play.tell(asked(), 1.0) == []
    assert types(play.tell(asked(cause="business:churn", actor="alertmanager"), 1.0)) == ["evidence_added"]
    assert play.tell(asked(cause="business:churn"), 1.0) == []
    for number in range(2 * EVIDENCE_MAX):
        play.tell(asked(cause=f"business:{number}"))
    assert len(proposal(play).evidence) == EVIDENCE_MAX
    assert list(play.registry.proposals.known) == [ID]


def test_nobody_is_asked_about_a_version_that_is_not_active() -> None:
    play = played()
    assert play.tell(asked("v2")) == []
    assert play.tell(asked("v9")) == []


# -- deciding on a rollback
def test_an_approval_is_a_rollback_that_names_who_approved() -> None:
    play = played()
    play.tell(asked())
    commands = play.tell(approve(reason="yes", impact={"requests": 3}), 5.0)
    assert types(commands) == ["rolled_back", "approved"]
    assert [type(command) for command in commands].count(PublishRoute) == 1
    assert play.states() == {"v1": "draining", "v2": "active"}
    made = next(entry for entry in play.entries if entry.type == kinds.ROLLED_BACK)
    assert (made.actor, made.data["proposal"], made.data["automatic"], made.data["trigger"]) == ("ann", ID, False, SLOW)
    assert made.data["evidence"] == {"requests": 3}
    assert play.registry.quarantines["v1"]["incident"] == made.data["incident"]
    told = play.registry.incidents[-1]
    assert (told["actor"], told["proposal"], told["trigger"], told["manual"]) == ("ann", ID, SLOW, True)
    closed = proposal(play)
    assert (closed.state, closed.decided_by, closed.why, closed.incident) == ("approved", "ann", "yes", told["id"])
    assert play.tell(Ticked(), 1.0) == []


def test_a_denial_leaves_everything_and_the_same_cause_is_silent_for_a_while() -> None:
    play = played()
    play.tell(asked())
    assert types(play.tell(deny())) == ["denied"]
    assert play.states() == {"v1": "active", "v2": "standby"}
    assert (proposal(play).state, proposal(play).why) == ("denied", "it is the campaign")
    assert play.tell(asked(), 59.0) == []
    assert types(play.tell(asked(cause="error_rate"))) == ["proposed"], "another cause is another question"
    play.tell(deny(proposal="svc-rollback-2"))
    assert types(play.tell(asked(), 1.0)) == ["proposed"]
    assert play.registry.proposals.pending()[0].id == "svc-rollback-3"


def test_a_freeze_stops_no_person_and_neither_does_a_promotion_that_was_rolled_back_once() -> None:
    play = played()
    play.tell(FreezeAsked("bob", "a demo"))
    play.registry.automatic_left = False
    play.tell(asked())
    play.tell(approve())
    assert play.states()["v2"] == "active"


@pytest.mark.parametrize(
    ("bad_probes", "shares"),
    [pytest.param(True, None, id="its probes"), pytest.param(False, (0.5, 0.2, 9), id="the requests rescued there")],
)
def test_a_standby_that_is_no_better_needs_an_override(bad_probes: bool, shares: Any) -> None:
    play = played()
    play.tell(asked())
    if bad_probes:
        play.probe("v2", ok=False)
    assert refused(play, approve(shares=shares)) == (409, "standby_unfit")
    play.tell(approve(shares=shares, override=Override("ann", "v1 leaks")))
    assert play.states()["v2"] == "active"
    assert play.entries[-1].data["override"] == {"actor": "ann", "reason": "v1 leaks"}


def test_without_a_standby_there_is_nothing_to_approve_but_to_deny() -> None:
    play = Play(RolloutLimits(proposals=HOLD)).seed(standby=None)
    play.tell(asked())
    assert proposal(play).to is None
    assert refused(play, approve(override=Override("ann", "x"))) == (409, "no_standby")
    assert types(play.tell(deny())) == ["denied"]


def ended_by(how: str) -> Play:
    play = played()
    play.tell(asked())
    match how:
        case "approved":
            play.tell(approve("bob"))
        case "denied":
            play.tell(deny("bob"))
        case "expired":
            play.tell(Ticked(), 100.0)
        case "expired, a moment ago":
            play.now_ns += 100 * SECOND
        case "rolled back by a verdict":
            play.verdict()
        case "rolled back by hand":
            play.tell(RollbackAsked("bad", "bob"))
        case "switched":
            play.tell(SwitchAsked("v2", "bob", "x"))
    return play


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("approved", (409, "proposal_decided")),
        ("denied", (409, "proposal_decided")),
        ("expired", (410, "proposal_expired")),
        ("expired, a moment ago", (410, "proposal_expired")),
        ("rolled back by a verdict", (410, "proposal_withdrawn")),
        ("rolled back by hand", (410, "proposal_withdrawn")),
        ("switched", (410, "proposal_withdrawn")),
    ],
)
@pytest.mark.parametrize("late", [approve(), deny()], ids=["approve", "deny"])
def test_what_is_over_is_decided_by_nobody(how: str, expected: tuple[int, str], late: ProposalDecided) -> None:
    play = ended_by(how)
    assert refused(play, late) == expected
    play.tell(Ticked())
    assert refused(play, late) == expected


def test_an_unknown_proposal_is_not_found() -> None:
    play = played()
    assert refused(play, approve(proposal="svc-rollback-9")) == (404, "proposal_unknown")
    assert refused(play, deny(proposal="x\x00y")) == (404, "proposal_unknown")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("rolled back by a verdict", "v1 is no longer active, v2 is: rolled back by verdict"),
        ("rolled back by hand", "v1 is no longer active, v2 is: rolled back by bob"),
        ("switched", "v1 is no longer active, v2 is: switched by bob"),
    ],
)
def test_a_proposal_is_withdrawn_when_its_version_is_no_longer_active(how: str, why: str) -> None:
    play = ended_by(how)
    assert types(play.tell(Ticked())) == ["withdrawn"]
    assert (proposal(play).state, proposal(play).why, proposal(play).decided_by) == ("withdrawn", why, "control")
    assert play.tell(Ticked(), 1.0) == []


# -- expiry
def test_nobody_decides_and_holding_is_the_default() -> None:
    play = played()
    play.tell(asked())
    assert play.tell(Ticked(), 99.9) == []
    assert types(play.tell(Ticked(), 0.1)) == ["proposal_expired"]
    assert (proposal(play).state, play.states()) == ("expired", {"v1": "active", "v2": "standby"})
    assert play.tell(asked(), 59.0) == []
    assert types(play.tell(asked(), 1.0)) == ["proposed"]


def default_due(play: Play) -> VerdictReached:
    """What the bench tells the machine while a default is due."""
    [waiting] = play.registry.proposals.pending()
    assert waiting.state == "due"
    return VerdictReached(SLOW, False, proposal=waiting.id)


def test_nobody_decides_and_a_rollback_is_the_default() -> None:
    play = played(BACK)
    play.tell(asked())
    assert types(play.tell(Ticked(), 100.0)) == ["proposal_expired"]
    assert types(play.tell(default_due(play))) == ["rolled_back"]
    made = play.entries[-1]
    assert (made.actor, made.data["automatic"], made.data["proposal"]) == ("verdict", True, ID)
    assert play.registry.incidents[-1]["proposal"] == ID
    assert (proposal(play).state, proposal(play).incident) == ("expired", made.data["incident"])
    assert not play.registry.automatic_left
    assert play.tell(Ticked(), 1.0) == []


@pytest.mark.parametrize("obstacle", ["frozen", "bad probes", "rolled back once already"])
def test_a_default_goes_through_the_gate_of_every_automatic_rollback(obstacle: str) -> None:
    play = played(BACK)
    play.tell(asked())
    if obstacle == "frozen":
        play.tell(FreezeAsked("bob", "a demo"))
    elif obstacle == "bad probes":
        play.probe("v2", ok=False)
    else:
        play.registry.automatic_left = False
    play.tell(Ticked(), 100.0)
    play.tell(default_due(play))
    assert play.machine.blocked_reason is not None
    assert play.states() == {"v1": "active", "v2": "standby"}
    play.tell(default_due(play), 1.0)
    assert [entry.type for entry in play.entries].count(kinds.PROPOSAL_EXPIRED) == 1
    how = deny() if obstacle == "frozen" else approve(override=Override("ann", "better than nothing"))
    play.tell(how)
    assert proposal(play).state == ("denied" if obstacle == "frozen" else "approved")
    assert play.registry.proposals.pending() == []


# -- restarts
@pytest.mark.parametrize("how", ["approved", "denied", "expired", "rolled back by a verdict"])
def test_what_a_restart_reads_is_what_was(how: str) -> None:
    play = ended_by(how)
    play.tell(Ticked())
    assert rebuild("svc", play.entries).as_dict() == play.registry.as_dict()


@pytest.mark.parametrize(("stored", "state"), [(1, "open"), (2, "approved")])
def test_an_approval_is_true_exactly_if_its_route_was_stored(stored: int, state: str) -> None:
    """Control died between the journal and the store, or after it; the memory that outlived it says which."""
    play = played()
    generation = play.registry.generation
    play.tell(asked())
    play.tell(approve())
    found = rebuild("svc", play.entries, generation + stored - 1)
    assert found.proposals.known[ID].state == state
    assert {version: target.state.value for version, target in found.targets.items()}["v2"] == (
        "active" if state == "approved" else "standby"
    )


def test_an_approval_that_a_verdict_overtook_is_none() -> None:
    """The person's change was on the disk, and the rollback of a verdict was stored meanwhile, based on what was before."""
    play = played()
    play.tell(asked())
    before = list(play.entries)
    play.tell(approve())
    in_vain = play.entries[len(before) :]
    other = played()
    other.tell(asked())
    other.verdict()
    overtaking = other.entries[-1]
    assert overtaking.type == kinds.ROLLED_BACK
    found = rebuild("svc", [*before, *in_vain, overtaking])
    assert found.proposals.known[ID].state == "open"
    assert found.incidents[-1]["actor"] == "verdict"


def test_a_default_that_was_denied_while_the_standby_was_asked_is_not_made() -> None:
    play = Play(RolloutLimits(inference=True, proposals=BACK)).seed()
    play.probe("v2", times=3)
    play.tell(asked())
    play.tell(Ticked(), 100.0)
    [check] = play.tell(default_due(play))
    assert isinstance(check, CheckStandby)
    play.tell(deny())
    assert play.tell(StandbyChecked(True, "", check.generation)) == []
    assert play.states() == {"v1": "active", "v2": "standby"}


def test_evidence_that_comes_while_a_denial_is_written_is_not_denied_with_it() -> None:
    """The journal has the denial first, memory the evidence: a restart would not know that this cause shall be silent. What is
    not the same any more is refused when the disk has it (conductor.py), so the person looks again.
    """
    play = played()
    play.tell(asked())
    before = play.machine.handle(deny(), play.now_ns)
    assert types(play.tell(asked(cause="business:churn"))) == ["evidence_added"]
    assert play.machine.handle(deny(), play.now_ns) != before
    play.tell(deny())
    assert rebuild("svc", play.entries).as_dict() == play.registry.as_dict()
