"""When to ask a person, and what comes of the answer: proposals are opened, added to, denied, withdrawn, and expire here.

Nothing here changes a role. An approval is a switch like any other, made by the machine's own table; the fact that it was
approved goes into the same transaction as the fact of the switch, with the same generation, so that either both are true
after a crash or neither is. What is refused here raises and changes nothing.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from router.errors import OperatorError
from router.rollout.machine.registry import Registry
from router.rollout.model import entry as kinds
from router.rollout.model import events as ev
from router.rollout.model.commands import Command, Record
from router.rollout.model.target import State
from router.rollout.proposals.proposal import Proposal, ProposalRules
from router.runtime.printable import printable

_REFUSED: Final = 9
_EXPIRED: Final = 'nobody decided in time; "hold" is the default'


# -- asking
def due(registry: Registry, terms: ProposalRules, event: ev.ProposalDue, now_ns: int) -> list[Command]:
    """Return what opens a proposal of a rollback, or adds to the one that waits; nothing if it would only be said again."""
    standby, proposals = registry.standby, registry.proposals
    if registry.rehearsing or _serving(registry) != event.version:
        return []
    if not proposals.wants(event.version, event.cause, now_ns):
        return []
    item = {"cause": event.cause, "trigger": event.trigger, "alert": event.alert, "impact": event.impact}
    known = proposals.about("rollback", event.version)
    if known is None:
        told = str(event.trigger.get("reason") or event.cause)
        data = _opening(registry, "rollback", event.version, standby.version if standby else None, told)
        data |= {"expire_after_s": terms.expire_after_s, "at_expiry": terms.at_expiry, "evidence": item}
        return [Record(kinds.PROPOSED, event.actor, data)]
    return [
        Record(kinds.EVIDENCE_ADDED, event.actor, {"proposal": known.id, "version": known.version, "evidence": item})
    ]


def promotion(registry: Registry, terms: ProposalRules, event: ev.SwitchAsked) -> list[Command]:
    """Return what opens a proposal to make `event.to` active; nothing if one waits already."""
    if registry.proposals.about("promotion", event.to) is not None:
        return []
    data = _opening(registry, "promotion", event.to, event.to, event.reason)
    data |= {"expire_after_s": terms.promotion_expire_after_s, "at_expiry": "hold", "verb": event.verb}
    return [Record(kinds.PROPOSED, event.actor, data)]


def _opening(
    registry: Registry, kind: Literal["rollback", "promotion"], version: str, to: str | None, reason: str
) -> dict[str, Any]:
    number = registry.proposals.next_number(kind)
    return {
        "proposal": f"{registry.service}-{kind}-{number}",
        "number": number,
        "kind": kind,
        "version": version,
        "from": _serving(registry),
        "to": to,
        "reason": reason,
    }


def _serving(registry: Registry) -> str | None:
    """Return the version that is active, or will be again once a drill has come home."""
    if registry.rehearsing and registry.drill is not None:
        return str(registry.drill["from"])
    return registry.active.version if registry.active else None


# -- time
def look(registry: Registry, terms: ProposalRules, now_ns: int) -> list[Command]:
    """Return what time, or a switch, has done to the proposals that wait; one thing a look."""
    for proposal in registry.proposals.pending():
        if reason := moot(registry, proposal):
            return [Record(kinds.WITHDRAWN, "control", {**_about(proposal), "reason": reason})]
        if proposal.state == "open" and proposal.over(now_ns):
            data = {**_about(proposal), "default": proposal.at_expiry}
            if proposal.at_expiry == "hold":
                data |= {"repeat_after_s": terms.repeat_after_s}
            return [Record(kinds.PROPOSAL_EXPIRED, "control", data)]
    return []


def moot(registry: Registry, proposal: Proposal) -> str | None:
    """Return why there is nothing left to decide, because the versions are not what they were; None if there is."""
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
"""Versions that a person brings in, or back in, by promote and switch: these need approval where promotions do. The standby
does not: it is the way back, or the version that was active a moment ago."""


# -- deciding
def decidable(registry: Registry, event: ev.ProposalDecided, now_ns: int) -> Proposal:
    """Return the proposal that `event` decides; raise OperatorError (404, 409, 410, 403) if it cannot be decided, or not by
    this person.
    """
    proposal = registry.proposals.known.get(event.proposal)
    if proposal is None:
        raise unknown(event.proposal)
    if not proposal.pending:
        raise _decided(proposal)
    if reason := moot(registry, proposal):
        raise _gone(proposal, "proposal_withdrawn", f"is withdrawn: {reason}")
    if proposal.over(now_ns) and proposal.at_expiry == "hold":
        raise _gone(proposal, "proposal_expired", f"has expired: {_EXPIRED}")
    approves = event.verb == "approve"
    if approves and proposal.kind == "promotion" and event.four_eyes and event.actor == proposal.opened_by:
        raise OperatorError(
            403,
            "four_eyes",
            f"{event.actor} has asked for {proposal.id}: somebody else has to approve it",
            exit_code=_REFUSED,
            facts=_facts(proposal),
        )
    return proposal


def denied(proposal: Proposal, terms: ProposalRules, event: ev.ProposalDecided) -> Record:
    """Return the fact that it shall not be; the same causes are silent for a while. It names them: one that comes while the
    disk takes the denial makes it another one, which was not asked for.
    """
    data = {**_about(proposal), "reason": event.reason, "repeat_after_s": terms.repeat_after_s}
    data["causes"] = list(proposal.causes)
    return Record(kinds.DENIED, event.actor, data)


def approved(proposal: Proposal, event: ev.ProposalDecided, switched: Record) -> Record:
    """Return the fact that `switched` was approved. It stands or falls with it: the same generation, based on that."""
    generation = switched.data["generation"]
    data = {**_about(proposal), "reason": event.reason, "generation": generation, "base": generation, "states": {}}
    if event.override:
        data["override"] = {"actor": event.override.actor, "reason": event.override.reason}
    return Record(kinds.APPROVED, event.actor, data)


def unfit(obstacles: list[str]) -> OperatorError:
    """Return the refusal to go back to a standby that does not work either."""
    return OperatorError(
        409,
        "standby_unfit",
        f"the standby is no better: {'; '.join(obstacles)}; repair it, or override with actor and reason",
        exit_code=_REFUSED,
        facts={"obstacles": obstacles},
    )


def unknown(proposal_id: str) -> OperatorError:
    """Return the refusal of an id that names nothing."""
    return OperatorError(
        404, "proposal_unknown", f"there is no proposal '{printable(proposal_id[:128])}'", exit_code=_REFUSED
    )


def _decided(proposal: Proposal) -> OperatorError:
    match proposal.state:
        case "expired":
            done = f"its default, a rollback, was made: incident {proposal.incident}" if proposal.incident else _EXPIRED
            return _gone(proposal, "proposal_expired", f"has expired: {done}")
        case "withdrawn":
            return _gone(proposal, "proposal_withdrawn", f"is withdrawn: {proposal.why}")
        case _:
            return OperatorError(
                409,
                "proposal_decided",
                f"proposal {proposal.id} was {proposal.state} by {proposal.decided_by} already",
                exit_code=_REFUSED,
                facts=_facts(proposal),
            )


def _gone(proposal: Proposal, code: str, detail: str) -> OperatorError:
    return OperatorError(410, code, f"proposal {proposal.id} {detail}", exit_code=_REFUSED, facts=_facts(proposal))


def _facts(proposal: Proposal) -> dict[str, object]:
    return {"proposal": proposal.id, "state": proposal.state, "decided_by": proposal.decided_by}


def _about(proposal: Proposal) -> dict[str, Any]:
    return {"proposal": proposal.id, "kind": proposal.kind, "version": proposal.version}
