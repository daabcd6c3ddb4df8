"""Decides the operators' changes other than switches: register, deploy, retire, move, quarantine, freeze; or why they are
refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from router.errors import InternalError, Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.automation import Frozen, Unfrozen
from router.rollout.facts.record import Command, Record
from router.rollout.facts.versions import (
    Deployed,
    EndpointsMoved,
    OverrideBy,
    Placement,
    Quarantined,
    QuarantineReturned,
    Released,
    Retired,
    VersionFact,
)
from router.rollout.machine.registration import (
    endpoints_of,
    placed_rewrite,
    refuse_other_origin,
    registration,
    rewrite_of,
)
from router.rollout.machine.registry import Registry
from router.rollout.model import events as ev
from router.rollout.model.rewrite import NO_REWRITE
from router.rollout.model.target import CANDIDATES, ROLES, State, Target


class VersionRules:
    """Rules over one registry; `generation` is that of the next route."""

    def __init__(self, registry: Registry, generation: int) -> None:
        self._registry = registry
        self._generation = generation

    def handle(self, event: ev.Event, now_ns: int) -> list[Command]:
        """Return the commands; raise Refusal if the event is refused."""
        match event:
            case ev.RegisterAsked():
                return registration(self._registry, event)
            case ev.DeployAsked():
                return self._deploy(event, now_ns)
            case ev.RetireAsked():
                return self._retire(event)
            case ev.EndpointsAsked():
                return self._move(event)
            case ev.QuarantineAsked():
                return self._quarantine(event, now_ns)
            case ev.ReleaseAsked():
                return self._release(event)
            case ev.CriterionSet():
                return [*self._registry.criteria.set(event.metric, event.limit, event.actor, event.reason)]
            case ev.CriterionRemoved():
                return [*self._registry.criteria.remove(event.metric, event.actor, event.reason)]
            case ev.FreezeAsked() if self._registry.frozen is None:
                return [Record(Frozen(reason=event.reason), event.actor)]
            case ev.UnfreezeAsked() if self._registry.frozen is not None:
                return [Record(Unfrozen(reason=event.reason), event.actor)]
            case ev.FreezeAsked() | ev.UnfreezeAsked():
                return []
            case _:
                raise InternalError("event_unknown", type(event).__name__)

    # -- deploy
    def _deploy(self, event: ev.DeployAsked, now_ns: int) -> list[Command]:
        registry = self._registry
        known = registry.targets.get(event.version)
        quarantine = registry.quarantine_of(event.version, now_ns)
        if quarantine and event.override is None:
            raise quarantined(event.version, quarantine)
        event = replace(
            event,
            endpoints=endpoints_of(registry, event.version, event.endpoints),
            rewrite=rewrite_of(registry, event.version, event.rewrite),
        )
        refuse_other_origin(registry, event.version, event.origin)
        if known is not None and known.state in ROLES:
            return []
        candidate = registry.candidate
        if candidate is not None and candidate.state is State.VERIFYING and not event.replace:
            raise Refusal(
                RefusalCode.VERIFYING,
                f"version {candidate.version} is being verified: wait for it, or deploy with replace",
                facts={"candidate": candidate.version},
            )
        return self._bring_in(event, known, candidate)

    def _bring_in(self, event: ev.DeployAsked, known: Target | None, candidate: Target | None) -> list[Command]:
        states = {event.version: State.VERIFYING}
        if candidate is not None:
            states[candidate.version] = State.DRAINING
        rewrite = placed_rewrite(event.rewrite or NO_REWRITE, known)
        fact = Deployed(
            generation=self._generation,
            target=Placement(version=event.version, endpoints=event.endpoints, rewrite=rewrite),
            replaced=candidate.version if candidate is not None else None,
            artifact=event.origin.artifact,
            source=event.origin.source,
            states=states,
            **(overridden(self._registry, event.version, event.override) if event.override else {}),
        )
        return [Record(fact, event.actor)]

    # -- the rest
    def _retire(self, event: ev.RetireAsked) -> list[Command]:
        target = self._registry.known(event.version)
        if target.state is State.ACTIVE:
            raise Refusal(RefusalCode.VERSION_IN_USE, f"version {event.version} is active: switch to another one first")
        if target.state is State.REGISTERED:
            return [Record(Retired(states={event.version: State.RETIRED}, reason="retired"), event.actor)]
        if target.state in ROLES or target.state is State.UNREACHABLE:
            return [self._out(Retired(reason="retired", cut=event.cut), event.actor, target)]
        if event.cut and target.may_hold_slot:
            return [Record(Retired(version=target.version, cut=True, reason="retired with cut"), event.actor)]
        return []

    def _out(self, fact: VersionFact, actor: str, target: Target) -> Record:
        """Return the record of `fact` with which a version loses its role (or the state `unreachable`) and drains."""
        generation = self._generation if target.state in ROLES else None
        return Record(replace(fact, generation=generation, states={target.version: State.DRAINING}), actor)

    def _move(self, event: ev.EndpointsAsked) -> list[Command]:
        target = self._registry.known(event.version)
        rewrite = target.rewrite if event.rewrite is None else event.rewrite
        if (target.endpoints, target.rewrite) == (event.endpoints, rewrite):
            return []
        placed = Placement(version=target.version, endpoints=event.endpoints, rewrite=placed_rewrite(rewrite, target))
        fact = EndpointsMoved(former=target.endpoints, target=placed)
        if target.may_hold_slot:
            fact = replace(fact, generation=self._generation, states={})
        return [Record(fact, event.actor)]

    def _quarantine(self, event: ev.QuarantineAsked, now_ns: int) -> list[Command]:
        target = self._registry.known(event.version)
        if target.state is State.ACTIVE:
            raise Refusal(RefusalCode.VERSION_IN_USE, f"version {event.version} is active: a rollback quarantines it")
        if self._registry.quarantine_of(event.version, now_ns) is not None:
            return []
        quarantine = {event.version: {"reason": event.reason, "incident": None}}
        fact = Quarantined(quarantine=quarantine, reason=event.reason)
        leaves = target.state in (*CANDIDATES, State.STANDBY, State.UNREACHABLE)
        return [self._out(fact, event.actor, target) if leaves else Record(fact, event.actor)]

    def _release(self, event: ev.ReleaseAsked) -> list[Command]:
        self._registry.known(event.version)
        if event.version not in self._registry.quarantines and event.version not in self._registry.temporary_releases:
            return []
        lifted_for_s = {} if event.expires_after_s is None else {event.version: event.expires_after_s}
        fact = Released(release=(event.version,), reason=event.reason, lifted_for_s=lifted_for_s)
        return [Record(fact, event.actor)]

    def returned(self, version: str, quarantine: dict[str, Any]) -> list[Command]:
        """Return the commands when a temporary release is over: the quarantine returns, and the version drains unless it is
        active.
        """
        target = self._registry.known(version)
        reason = (
            f"the time for which its quarantine was lifted is over; it was quarantined because: {quarantine['reason']}"
        )
        fact = QuarantineReturned(quarantine={version: quarantine}, reason=reason)
        leaves = target.state in (*CANDIDATES, State.STANDBY, State.UNREACHABLE)
        return [self._out(fact, "control", target) if leaves else Record(fact, "control")]


def overridden(registry: Registry, version: str, override: ev.Override) -> dict[str, Any]:
    """Return the members of a fact with an override: actor, reason, the released version and for how long."""
    members: dict[str, Any] = {"override": OverrideBy(actor=override.actor, reason=override.reason)}
    marked = version in registry.quarantines or version in registry.temporary_releases
    members["release"] = (version,) if marked else ()
    if marked and override.expires_after_s is not None:
        members["lifted_for_s"] = {version: override.expires_after_s}
    return members


def quarantined(version: str, quarantine: dict[str, Any]) -> Refusal:
    """Return the refusal (409) of a quarantined version, with the reason of the quarantine."""
    incident = f" (incident {quarantine['incident']})" if quarantine["incident"] else ""
    return Refusal(
        RefusalCode.VERSION_QUARANTINED,
        f"version {version} is quarantined: {quarantine['reason']}{incident}; release it, or override with actor and reason",
        facts={"quarantine": {name: quarantine[name] for name in ("reason", "incident", "actor")}},
    )
