"""Decides when a proposal is opened, extended, approved, denied, withdrawn or expired.

No role changes here. An approval is a switch of the machine's table. Its `approved` entry goes into the same transaction as the
entry of the switch, with the same generation, so after a crash both are effective or neither is. A refusal raises and changes
nothing.
"""

from __future__ import annotations

from typing import Any, Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.proposals import (
    Approved,
    Denied,
    EvidenceAdded,
    ProposalExpired,
    ProposalKind,
    Proposed,
    Withdrawn,
)
from router.rollout.facts.record import Command, Record
from router.rollout.facts.versions import OverrideBy
from router.rollout.machine.registry import Registry
from router.rollout.model import events as ev
from router.rollout.model.target import State
from router.rollout.proposals.proposal import Proposal, ProposalRules
from router.runtime.printable import printable

_EXPIRED: Final = 'it was not decided in time, and its default is "hold"'


# -- opening
def due(registry: Registry, rules: ProposalRules, event: ev.ProposalDue, now_ns: int) -> list[Command]:
    """Return the entry that opens a rollback proposal, or adds evidence to the pending one; nothing if the cause is not new."""
    standby, proposals = registry.standby, registry.proposals
    if registry.in_drill or _serving(registry) != event.version:
        return []
    if not proposals.is_new(event.version, event.cause, now_ns):
        return []
    item = {"cause": event.cause, "trigger": event.trigger, "alert": event.alert, "impact": event.impact}
    known = proposals.about("rollback", event.version)
    if known is None:
        reason = str(event.trigger.get("reason") or event.cause)
        opened = Proposed(
            **_opening(registry, "rollback", event.version),
            to=standby.version if standby else None,
            reason=reason,
            expire_after_s=rules.expire_after_s,
            at_expiry=rules.at_expiry,
            evidence=item,
        )
        return [Record(opened, event.actor)]
    return [Record(EvidenceAdded(proposal=known.id, version=known.version, evidence=item), event.actor)]


def promotion(registry: Registry, rules: ProposalRules, event: ev.SwitchAsked) -> list[Command]:
    """Return the entry that opens a proposal to make `event.to` active; nothing if one is pending."""
    if registry.proposals.about("promotion", event.to) is not None:
        return []
    opened = Proposed(
        **_opening(registry, "promotion", event.to),
        to=event.to,
        reason=event.reason,
        expire_after_s=rules.promotion_expire_after_s,
        at_expiry="hold",
        verb=event.verb,
    )
    return [Record(opened, event.actor)]


def _opening(registry: Registry, kind: ProposalKind, version: str) -> dict[str, Any]:
    number = registry.proposals.next_number(kind)
    return {
        "proposal": f"{registry.service}-{kind}-{number}",
        "number": number,
        "kind": kind,
        "version": version,
        "left": _serving(registry),
    }


def _serving(registry: Registry) -> str | None:
    """Return the active version; during a drill the version that was active before."""
    if registry.in_drill and registry.drill is not None:
        return str(registry.drill["from"])
    return registry.active.version if registry.active else None


# -- time
def tick(registry: Registry, rules: ProposalRules, now_ns: int) -> list[Command]:
    """Return the entry of one pending proposal that is void or has expired; one a tick."""
    for proposal in registry.proposals.pending():
        if reason := void(registry, proposal):
            return [Record(Withdrawn(**_identity(proposal), reason=reason), "control")]
        if proposal.state == "open" and proposal.is_expired(now_ns):
            muted_s = rules.repeat_after_s if proposal.at_expiry == "hold" else None
            expired = ProposalExpired(**_identity(proposal), default=proposal.at_expiry, repeat_after_s=muted_s)
            return [Record(expired, "control")]
    return []


def void(registry: Registry, proposal: Proposal) -> str | None:
    """Return why the proposal is void: the versions have changed; None if it can still be decided."""
    version, last = _serving(registry), registry.last_switch
    if version != proposal.left:
        why = f": {last['type'].replace('_', ' ')} by {last['actor']}" if last else ""
        return f"{proposal.left} is no longer active, {version or 'no version'} is{why}"
    if proposal.kind == "promotion":
        target = registry.targets.get(proposal.version)
        if target is None or target.state not in FORWARD:
            return f"{proposal.version} is no candidate any more, it is {target.state.value if target else 'gone'}"
    return None


FORWARD: Final = frozenset({State.READY, State.UNREACHABLE})
"""States from which promote and switch need approval, if promotions do. The standby needs none: it was active before."""


# -- deciding
def decidable(registry: Registry, event: ev.ProposalDecided, now_ns: int) -> Proposal:
    """Return the proposal that `event` decides; raise Refusal if it cannot be decided, or if
    this actor must not decide it.
    """
    proposal = registry.proposals.known.get(event.proposal)
    if proposal is None:
        raise unknown(event.proposal)
    if not proposal.pending:
        raise _decided(proposal)
    if reason := void(registry, proposal):
        raise _closed(proposal, RefusalCode.PROPOSAL_WITHDRAWN, f"is withdrawn: {reason}")
    if proposal.is_expired(now_ns) and proposal.at_expiry == "hold":
        raise _closed(proposal, RefusalCode.PROPOSAL_EXPIRED, f"has expired: {_EXPIRED}")
    approves = event.verb == "approve"
    if approves and proposal.kind == "promotion" and event.four_eyes and event.actor == proposal.opened_by:
        raise Refusal(
            RefusalCode.FOUR_EYES,
            f"{event.actor} has proposed {proposal.id}: another operator has to approve it",
            facts=_facts(proposal),
        )
    return proposal


def denied(proposal: Proposal, rules: ProposalRules, event: ev.ProposalDecided) -> Record:
    """Return the `denied` entry. It names the causes, which are then muted: a cause that is added while the denial is being
    journalled was not part of the decision.
    """
    muted_s, causes = rules.repeat_after_s, proposal.causes
    fact = Denied(**_identity(proposal), reason=event.reason, repeat_after_s=muted_s, causes=causes)
    return Record(fact, event.actor)


def approved(proposal: Proposal, event: ev.ProposalDecided, generation: int | None) -> Record:
    """Return the `approved` fact of the switch of `generation`: effective if and only if the switch is, for it is its base."""
    override = OverrideBy(actor=event.override.actor, reason=event.override.reason) if event.override else None
    fact = Approved(
        **_identity(proposal),
        reason=event.reason,
        generation=generation,
        base=generation,
        states={},
        override=override,
    )
    return Record(fact, event.actor)


def unfit(objections: list[str]) -> Refusal:
    """Return the refusal (409) to roll back to an unfit standby."""
    return Refusal(
        RefusalCode.STANDBY_UNFIT,
        f"the standby is no better: {'; '.join(objections)}; repair it, or override with actor and reason",
        facts={"obstacles": objections},
    )


def unknown(proposal_id: str) -> Refusal:
    """Return the refusal (404) of an unknown proposal id."""
    return Refusal(RefusalCode.PROPOSAL_UNKNOWN, f"there is no proposal '{printable(proposal_id[:128])}'")


def _decided(proposal: Proposal) -> Refusal:
    match proposal.state:
        case "expired":
            done = f"its default, a rollback, was made: incident {proposal.incident}" if proposal.incident else _EXPIRED
            return _closed(proposal, RefusalCode.PROPOSAL_EXPIRED, f"has expired: {done}")
        case "withdrawn":
            return _closed(proposal, RefusalCode.PROPOSAL_WITHDRAWN, f"is withdrawn: {proposal.decision_reason}")
        case _:
            return Refusal(
                RefusalCode.PROPOSAL_DECIDED,
                f"proposal {proposal.id} was {proposal.state} by {proposal.decided_by} already",
                facts=_facts(proposal),
            )


def _closed(proposal: Proposal, code: RefusalCode, detail: str) -> Refusal:
    return Refusal(code, f"proposal {proposal.id} {detail}", facts=_facts(proposal))


def _facts(proposal: Proposal) -> dict[str, object]:
    return {"proposal": proposal.id, "state": proposal.state, "decided_by": proposal.decided_by}


def _identity(proposal: Proposal) -> dict[str, Any]:
    return {"proposal": proposal.id, "kind": proposal.kind, "version": proposal.version}
