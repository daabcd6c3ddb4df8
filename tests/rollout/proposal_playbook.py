"""Proposals played event by event: what asks, who decides, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from router.errors import Refusal
from router.rollout.facts.record import Command, Record
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model.events import DeployAsked, ProposalDecided, ProposalDue, RollbackAsked, SwitchAsked
from router.rollout.proposals.proposal import Proposal, ProposalRules
from tests import entry_types
from tests.rollout.playbook import SECOND, Playbook

SLOW = {"kind": "latency", "detail": "", "reason": "half of them are late", "evidence_since_ns": SECOND}
HOLD = ProposalRules(expire_after_s=100.0, repeat_after_s=60.0)
BACK = ProposalRules(expire_after_s=100.0, repeat_after_s=60.0, at_expiry="rollback")
EYES = ProposalRules(promote_needs_approval=True, promotion_expire_after_s=1000.0, repeat_after_s=60.0)
ID = "svc-rollback-1"
PROMOTION = "svc-promotion-1"


def played(terms: ProposalRules = HOLD) -> Playbook:
    """v1 is active, v2 stands by and answers its probes."""
    playbook = Playbook(RolloutLimits(proposals=terms)).seed()
    playbook.probe("v2", times=3)
    return playbook


def proposal_due(version: str = "v1", cause: str = "latency", **more: Any) -> ProposalDue:
    return ProposalDue(version, cause, SLOW, **more)


def approve(actor: str = "ann", proposal: str = ID, **more: Any) -> ProposalDecided:
    return ProposalDecided(proposal, "approve", actor, **more)


def deny(actor: str = "ann", proposal: str = ID) -> ProposalDecided:
    return ProposalDecided(proposal, "deny", actor, "it is the campaign")


def types(commands: list[Command]) -> list[str]:
    return [command.fact.type for command in commands if isinstance(command, Record)]


def proposal(playbook: Playbook, name: str = ID) -> Proposal:
    return playbook.registry.proposals.known[name]


def refused(playbook: Playbook, event: ProposalDecided | SwitchAsked | RollbackAsked, after_s: float = 0.0) -> str:
    """Return the code of a refusal that has changed nothing."""
    before = playbook.registry.as_dict()
    with pytest.raises(Refusal) as caught:
        playbook.tell(event, after_s)
    assert playbook.registry.as_dict() == before
    return str(caught.value.code)


def candidate(terms: ProposalRules = EYES, **limits: Any) -> Playbook:
    """v3 is a candidate that is ready."""
    playbook = Playbook(RolloutLimits(proposals=terms, warmup_probes=1, **limits)).seed()
    playbook.probe("v2", times=3)
    playbook.tell(DeployAsked("v3", ("http://v3:1",), "ann"))
    playbook.probe("v3")
    return playbook


PROMOTE = SwitchAsked("v3", "ann", "promoted", entry_types.PROMOTED)
