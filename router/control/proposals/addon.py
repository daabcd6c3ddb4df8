"""Proposals: lists the changes that wait for an operator, and passes the operators' decisions to the control loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document
from router.control.admin import problems
from router.control.core.loop import ControlLoop
from router.control.core.operations import Operations
from router.control.core.service_controller import ServiceController
from router.control.proposals.links import ProposalLinks
from router.control.store.records.earlier_changes import EarlierChange
from router.control.store.records.request_key import RequestKey
from router.control.views.metric_table import gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.proposals import DecisionRefused
from router.rollout.facts.record import Record
from router.rollout.machine import proposal_rules
from router.rollout.model.events import Override, ProposalDecided
from router.rollout.notifications.notification import Notification
from router.rollout.proposals.proposal import Proposal
from router.runtime import clock
from router.settings.settings import Settings

STATES: Final = ("open", "due", "approved", "denied", "expired", "withdrawn")
REFUSALS_MAX: Final = 5
"""Refused decisions on one proposal that are journalled; further ones are only answered."""


class ProposalsAddon(Addon):
    """The proposals of all services. `links` signs the links in notifications."""

    def __init__(
        self, control_loop: ControlLoop, operations: Operations, settings: Settings, links: ProposalLinks
    ) -> None:
        self.links = links
        self._control_loop = control_loop
        self._operations = operations
        self._settings = settings
        self._refused: dict[str, int] = {}

    def reconfigure(self, settings: Settings) -> None:
        """Apply the changed base URL of links."""
        self._settings = settings

    # -- reading
    def listing(self, service: str | None, state: str | None) -> Document:
        """Return proposals, newest first; of one service, or of one state (`pending`: open or due)."""
        services = self._control_loop.services.values() if service is None else [self._control_loop.services[service]]
        proposals = [
            (proposal, service_controller)
            for service_controller in services
            for proposal in service_controller.registry.proposals.known.values()
            if state is None or proposal.state == state or (state == "pending" and proposal.pending)
        ]
        proposals.sort(key=lambda pair: -pair[0].opened_at)
        return {"proposals": [as_document(proposal, service_controller) for proposal, service_controller in proposals]}

    def document(self, proposal_id: str) -> Document:
        """Return one proposal; raise Refusal."""
        return as_document(*self.find(proposal_id))

    def find(self, proposal_id: str) -> tuple[Proposal, ServiceController]:
        """Return a proposal and the controller of its service; raise Refusal."""
        for service_controller in self._control_loop.services.values():
            if (known := service_controller.registry.proposals.known.get(proposal_id)) is not None:
                return known, service_controller
        raise proposal_rules.unknown(proposal_id)

    def status(self, service: str) -> Document:
        """Return the pending proposals of a service."""
        service_controller = self._control_loop.services[service]
        return {
            "proposals": [
                as_document(proposal, service_controller)
                for proposal in service_controller.registry.proposals.pending()
            ]
        }

    def verbs(self, service: str) -> Mapping[str, list[str]]:
        """Return why nothing can be approved or denied now."""
        waiting = self._control_loop.services[service].registry.proposals.pending()
        reasons = [] if waiting else ["no proposal waits for a decision"]
        return {"approve": reasons, "deny": reasons}

    def metrics(self) -> Iterable[Metric]:
        """Yield the number of proposals by state: at present for pending ones, since the journal began for others."""
        family = gauge("proposals")
        for name, service_controller in sorted(self._control_loop.services.items()):
            proposals = service_controller.registry.proposals
            waiting = [proposal.state for proposal in proposals.pending()]
            for state in STATES:
                family.add_metric([name, state], proposals.ended.get(state, 0) + waiting.count(state))
        yield family

    def links_in(self, notification: Notification) -> dict[str, str]:
        """Return the links that decide the proposal of a notification; none once it is decided."""
        if notification.topic != "proposal" or notification.service not in self._control_loop.services:
            return {}
        known = self._control_loop.services[notification.service].registry.proposals.known.get(
            notification.data["proposal"]
        )
        urls = self.links.links(known, self._settings) if known is not None else {}
        named = (("Approve", urls.get("approve_url")), ("Deny", urls.get("deny_url")))
        return {name: url for name, url in named if url is not None}

    # -- deciding
    async def decide(
        self,
        proposal_id: str,
        verb: str,
        *,
        actor: str,
        reason: str = "",
        override: Override | None = None,
        authenticated: bool = False,
        dry_run: bool = False,
        key: RequestKey | None = None,
    ) -> Document:
        """Approve or deny; return the result. Raise Refusal, without any change, if that is not possible.

        `authenticated`: the actor's name was proven, so different actors are different persons. `key` is that of the request.
        """
        proposal, service_controller = self.find(proposal_id)
        event = ProposalDecided(
            proposal.id,
            "approve" if verb == "approve" else "deny",
            actor,
            reason,
            override,
            four_eyes=authenticated,
            shares=service_controller.shares(clock.now_ns()),
            impact=_impact(proposal, service_controller),
        )
        try:
            answer = await self._operations.change(service_controller.name, event, dry_run=dry_run, key=key)
        except Refusal as refusal:
            if not dry_run:
                self._journal_refusal(refusal, proposal, service_controller, event)
            raise
        return {**answer, "proposal": self.document(proposal.id)}

    def repeated(self, proposal_id: str, change: EarlierChange) -> Document:
        """Return the answer to a request that has decided a proposal before the start of control."""
        return {**self._operations.repeated(change), "proposal": self.document(proposal_id)}

    def check_link(self, proposal: Proposal, verb: str) -> None:
        """Raise Refusal if a valid link cannot decide this proposal, or not any more; journal nothing.

        A link expires with its proposal, even if the default is due then. It authenticates no person. So if tokens are
        configured, a link cannot approve a promotion: that needs a second person, different from the proposer.
        """
        now_ns = clock.now_ns()
        event = ProposalDecided(proposal.id, "approve" if verb == "approve" else "deny", "a link")
        proposal_rules.decidable(self.find(proposal.id)[1].registry, event, now_ns)
        if proposal.is_expired(now_ns):
            detail = f"this link has expired: the default of proposal {proposal.id} is due; decide it by its id"
            raise Refusal(RefusalCode.LINK_EXPIRED, detail)
        if proposal.kind == "promotion" and verb == "approve" and self._settings.admin.tokens:
            detail = f"another operator than {proposal.opened_by} has to approve this: with a token, not with a link"
            raise Refusal(RefusalCode.FOUR_EYES, detail)

    def _journal_refusal(
        self, refusal: Refusal, proposal: Proposal, service_controller: ServiceController, event: ProposalDecided
    ) -> None:
        """Journal a refused decision; at most REFUSALS_MAX per proposal, so that they cannot fill the journal."""
        if problems.is_temporary(refusal) or self._refused.get(proposal.id, 0) >= REFUSALS_MAX:
            return
        self._refused[proposal.id] = self._refused.get(proposal.id, 0) + 1
        fact = DecisionRefused(proposal=proposal.id, verb=event.verb, code=str(refusal.code), reason=refusal.detail)
        service_controller.executor.perform([Record(fact, event.actor)], clock.now_ns())


def _impact(proposal: Proposal, service_controller: ServiceController) -> dict[str, Any] | None:
    trigger = proposal.evidence[0]["trigger"] if proposal.evidence else None
    return service_controller.impact(trigger, clock.now_ns()) if trigger else None


def _name(trigger: Document) -> str:
    return f"{trigger['kind']}.{trigger['detail']}" if trigger.get("detail") else str(trigger["kind"])


def as_document(proposal: Proposal, service_controller: ServiceController) -> Document:
    """Return a proposal as a document. `now` is the present state of its trigger, null if the service has no such trigger."""
    states = {result.name: result.state for result in service_controller.verdict.results}
    pending = proposal.pending
    return {
        "id": proposal.id,
        "service": service_controller.name,
        "kind": proposal.kind,
        "state": proposal.state,
        "version": proposal.version,
        "from": proposal.left,
        "to": proposal.to,
        "reason": proposal.reason,
        "opened_by": proposal.opened_by,
        "opened_at": clock.iso(proposal.opened_at),
        "expires_at": clock.iso(proposal.expires_at),
        "left_s": round(max(0.0, (proposal.deadline_ns - clock.now_ns()) / 1e9), 1) if pending else None,
        "at_expiry": proposal.at_expiry,
        "evidence": [
            {**item, "at": clock.iso(item["at"]), "now": states.get(_name(item["trigger"])) if pending else None}
            for item in proposal.evidence
        ],
        "decided_by": proposal.decided_by,
        "decided_at": clock.iso(proposal.decided_at) if proposal.decided_at is not None else None,
        "decision_reason": proposal.decision_reason,
        "incident": proposal.incident,
    }
