"""Proposals are a fold of their entries: what is open, until when, and what became of it."""

from __future__ import annotations

from typing import Any

import pytest

from router.rollout.facts.entry import Entry
from router.rollout.proposals.proposal import CLOSED_MAX, MUTED_MAX, Proposals
from tests import entry_types
from tests.rollout.playbook import SECOND

LATENCY: dict[str, Any] = {"kind": "latency", "detail": "", "reason": "slow", "evidence_since_ns": 7}


def entry(kind: str, at_s: float, /, *, actor: str = "control", boot_ns: int = 0, **data: Any) -> Entry:
    """An entry at `at_s` on both clocks; the monotonic one began at `boot_ns` nanoseconds."""
    return Entry.of(kind, "svc", actor, data, at_s, boot_ns + int(at_s * SECOND), 1)


def opened(number: int = 1, at_s: float = 0.0, **more: Any) -> Entry:
    result = {
        "proposal": f"svc-rollback-{number}",
        "number": number,
        "kind": "rollback",
        "version": "v2",
        "from": "v2",
        "to": "v1",
        "reason": "slow",
        "expire_after_s": 100.0,
        "at_expiry": "hold",
        "evidence": {"cause": "latency", "trigger": LATENCY, "alert": None, "impact": None},
        **more,
    }
    return entry(entry_types.PROPOSED, at_s, actor="verdict", **result)


def ended(kind: str, at_s: float = 50.0, /, number: int = 1, actor: str = "ann", **more: Any) -> Entry:
    return entry(kind, at_s, actor=actor, proposal=f"svc-rollback-{number}", **more)


def folded(*entries: Entry) -> Proposals:
    proposals = Proposals("svc")
    for one in entries:
        proposals.apply(one)
    return proposals


def test_a_proposal_waits_with_its_evidence_until_its_deadline() -> None:
    proposals = folded(opened(at_s=5.0))
    [proposal] = proposals.pending()
    assert (proposal.id, proposal.kind, proposal.version, proposal.left, proposal.to) == (
        "svc-rollback-1",
        "rollback",
        "v2",
        "v2",
        "v1",
    )
    assert (proposal.state, proposal.opened_by, proposal.opened_at, proposal.expires_at) == ("open", "verdict", 5, 105)
    assert proposal.evidence == ({"cause": "latency", "trigger": LATENCY, "alert": None, "impact": None, "at": 5.0},)
    assert (proposal.is_expired(105 * SECOND - 1), proposal.is_expired(105 * SECOND)) == (False, True)
    assert proposals.about("rollback", "v2") is proposal
    assert (proposals.about("rollback", "v1"), proposals.about("promotion", "v2")) == (None, None)
    assert (proposals.next_number("rollback"), proposals.next_number("promotion")) == (2, 1)


@pytest.mark.parametrize(
    ("kind", "more", "state"),
    [
        pytest.param(entry_types.APPROVED, {"reason": "yes"}, "approved", id="approved"),
        pytest.param(entry_types.DENIED, {"reason": "yes", "repeat_after_s": 60.0}, "denied", id="denied"),
        pytest.param(entry_types.WITHDRAWN, {"reason": "yes"}, "withdrawn", id="withdrawn"),
        pytest.param(
            entry_types.PROPOSAL_EXPIRED,
            {"default": "hold", "repeat_after_s": 60.0},
            "expired",
            id="expired",
        ),
    ],
)
def test_a_proposal_ends_once(kind: str, more: dict[str, Any], state: str) -> None:
    proposals = folded(opened(), ended(kind, **more))
    proposal = proposals.known["svc-rollback-1"]
    assert (proposal.state, proposal.pending, proposal.decision_reason) == (state, False, more.get("reason"))
    assert (proposal.decided_by, proposal.decided_at, proposals.ended) == ("ann", 50.0, {state: 1})
    before = proposals.as_dict()
    for late in (entry_types.APPROVED, entry_types.DENIED, entry_types.WITHDRAWN):
        proposals.apply(ended(late, 60.0, actor="bob", reason="late", repeat_after_s=999.0))
    proposals.apply(ended(entry_types.PROPOSAL_EXPIRED, 60.0, default="rollback"))
    proposals.apply(ended(entry_types.EVIDENCE_ADDED, 60.0, version="v2", evidence={"cause": "late"}))
    assert proposals.as_dict() == before


def test_what_names_no_proposal_changes_nothing() -> None:
    proposals = folded(opened())
    before = proposals.as_dict()
    proposals.apply(ended(entry_types.APPROVED, number=9, reason=""))
    proposals.apply(ended(entry_types.EVIDENCE_ADDED, number=9, evidence={"cause": "x"}))
    proposals.apply(entry(entry_types.ROLLED_BACK, 1.0, incident="i", automatic=True))
    assert proposals.as_dict() == before


def test_evidence_is_added_while_it_waits() -> None:
    item = {"cause": "error_rate", "trigger": None, "alert": None, "impact": None}
    proposals = folded(opened(), ended(entry_types.EVIDENCE_ADDED, 20.0, version="v2", evidence=item))
    [proposal] = proposals.pending()
    assert proposal.causes == ("latency", "error_rate")
    assert proposal.evidence[1] == {**item, "at": 20.0}


def test_a_default_that_is_a_rollback_is_due_until_it_is_made() -> None:
    proposals = folded(opened(at_expiry="rollback"), ended(entry_types.PROPOSAL_EXPIRED, 100.0, default="rollback"))
    [proposal] = proposals.pending()
    assert (proposal.state, proposals.ended) == ("due", {})
    made = entry(
        entry_types.ROLLED_BACK, 101.0, actor="verdict", proposal="svc-rollback-1", incident="svc-1-9", automatic=True
    )
    proposals.apply(made)
    proposal = proposals.known["svc-rollback-1"]
    assert (proposal.state, proposal.incident, proposal.decided_by) == ("expired", "svc-1-9", "verdict")
    assert not proposals.is_muted("v2", "latency", 102 * SECOND)


def test_a_rollback_that_was_approved_gives_its_incident_and_is_ended_by_the_approval() -> None:
    made = entry(
        entry_types.ROLLED_BACK, 9.0, actor="ann", proposal="svc-rollback-1", incident="svc-1-9", automatic=False
    )
    proposals = folded(opened(), made)
    assert proposals.known["svc-rollback-1"].state == "open"
    proposals.apply(ended(entry_types.APPROVED, 9.0, reason=""))
    proposal = proposals.known["svc-rollback-1"]
    assert (proposal.state, proposal.incident, proposal.decision_reason) == ("approved", "svc-1-9", None)


@pytest.mark.parametrize("kind", [entry_types.DENIED, entry_types.PROPOSAL_EXPIRED])
def test_a_decided_cause_is_muted(kind: str) -> None:
    item = {"cause": "error_rate", "trigger": None, "alert": None, "impact": None}
    added = ended(entry_types.EVIDENCE_ADDED, 20.0, version="v2", evidence=item)
    proposals = folded(opened(), added, ended(kind, default="hold", repeat_after_s=60.0))
    for cause in ("latency", "error_rate"):
        assert proposals.is_muted("v2", cause, 110 * SECOND - 1)
        assert not proposals.is_muted("v2", cause, 110 * SECOND)
        assert not proposals.is_muted("v3", cause, 60 * SECOND)
    assert not proposals.is_muted("v2", "business:churn", 60 * SECOND)


@pytest.mark.parametrize(
    ("wall_s", "left_s"),
    [
        pytest.param(40.0, 60.0, id="what is left, after a restart"),
        pytest.param(500.0, 0.0, id="nothing, after a long one"),
        pytest.param(-9e9, 100.0, id="never more than all of it: the wall clock went back"),
    ],
)
def test_a_cold_start_reads_the_wall_clock_once(wall_s: float, left_s: float) -> None:
    denied = ended(entry_types.DENIED, 0.0, number=2, repeat_after_s=100.0)
    proposals = folded(opened(), opened(2, version="v3", **{"from": "v3"}), denied)
    proposals.apply(Entry.of(entry_types.BOOT, "", "control", {"boot": 2}, wall_s, 5 * SECOND, 2))
    [proposal] = proposals.pending()
    assert proposal.deadline_ns == (5 + left_s) * SECOND
    assert proposal.evidence[0]["trigger"] == {**LATENCY, "evidence_since_ns": None}
    assert proposals.is_muted("v3", "latency", int((5 + left_s) * SECOND) - 1)
    assert not proposals.is_muted("v3", "latency", int((5 + left_s) * SECOND))


def test_what_is_over_is_forgotten_in_the_end() -> None:
    proposals = Proposals("svc")
    proposals.apply(opened(1))
    for number in range(2, CLOSED_MAX + 100):
        evidence = {"cause": f"alert {number}", "trigger": None, "alert": None, "impact": None}
        proposals.apply(opened(number, version=f"w{number}", evidence=evidence))
        proposals.apply(ended(entry_types.DENIED, number=number, repeat_after_s=60.0))
    assert len(proposals.known) == CLOSED_MAX + 1
    assert [proposal.id for proposal in proposals.pending()] == ["svc-rollback-1"]
    assert proposals.ended == {"denied": CLOSED_MAX + 98}
    assert len(proposals.as_dict()["muted"]) == MUTED_MAX
    assert proposals.next_number("rollback") == CLOSED_MAX + 100
