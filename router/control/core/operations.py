"""Makes the changes that operators request. The body of each verb has made an event for the machine of its service.

`change` prepares the event, has it journalled and carried out, and answers once every live worker has confirmed the new
route, or after `confirm_timeout_s` with the list of the workers that have not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from router.control.addon import Document
from router.control.core.executor import ANYTHING, Change, Preconditions
from router.control.core.loop import ControlLoop
from router.control.core.model_resolver import ModelResolver
from router.control.core.service_controller import ServiceController
from router.control.core.workers import Confirmation
from router.control.store.records.earlier_changes import EarlierChange
from router.control.store.records.request_key import RequestKey
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.proposals import Proposed
from router.rollout.facts.switches import Promoted
from router.rollout.facts.versions import Deployed, Registered, VersionFact
from router.rollout.incidents.timeline_text import describe
from router.rollout.machine.registry import Registry
from router.rollout.model import events as ev
from router.rollout.model.rewrite import NO_REWRITE
from router.rollout.model.target import WATCHED, State
from router.runtime import clock


class Operations:
    """The operators' changes of the services of this router."""

    def __init__(self, control_loop: ControlLoop, earlier: Mapping[str, EarlierChange] = MappingProxyType({})) -> None:
        self.earlier = earlier
        """The changes made before this start, by the digest of their idempotency key."""
        self.models = ModelResolver()
        self._control_loop = control_loop
        self._services = control_loop.services

    async def change(
        self,
        service: str,
        event: ev.Event,
        preconditions: Preconditions = ANYTHING,
        *,
        dry_run: bool = False,
        key: RequestKey | None = None,
    ) -> Document:
        """Make the change that `event` requests and return the answer; raise Refusal without having changed anything.

        The journal keeps the `key` of the request with the change.
        """
        service_controller = self._services[service]
        if service in self._control_loop.leaving:
            detail = f"service {service} is removed from the settings, and ends its last requests: it takes no change"
            raise Refusal(RefusalCode.SERVICE_UNKNOWN, detail)
        event = await self._prepared(service_controller, event)
        done = _description(event, service_controller.registry)
        change = await service_controller.executor.change(event, preconditions, dry_run=dry_run, key=key)
        if change.changed and not dry_run:
            service_controller.watch(self._control_loop.probes)
        match event:
            case ev.DeployAsked():
                return _deployed(service_controller, event, change, dry_run)
            case ev.RegisterAsked():
                return _registered(service_controller, event, change, dry_run)
            case _:
                return await self._confirmed(service_controller, event, change, done, dry_run)

    def repeated(self, change: EarlierChange) -> Document:
        """Return the answer to the repetition of a request that has made this change before the start.

        It has what the record says, with the roles and the confirmation of now; how long the switch took is not known any more.
        """
        entry = change.entry
        service_controller = self._services[entry.service]
        message = f"done at {clock.iso(entry.at)} already: {describe(entry).text}"
        if isinstance(entry.fact, Deployed | Registered):
            return _repeated_arrival(service_controller, entry.fact, message)
        generation = route_generation(entry) or service_controller.registry.generation
        unconfirmed = self._control_loop.workers.unconfirmed(service_controller.executor.index, generation)
        return {
            "service": service_controller.name,
            "generation": generation,
            **service_controller.roles(),
            "changed": True,
            "confirmed": not unconfirmed,
            "workers_unconfirmed": unconfirmed,
            "swap_us": None,
            "confirmed_ms": None,
            "journalled": True,
            "incident": _incident(entry),
            "awaits": entry.fact.proposal if isinstance(entry.fact, Proposed) else None,
            "dry_run": False,
            "message": message,
        }

    # -- before the machine decides
    async def _prepared(self, service_controller: ServiceController, event: ev.Event) -> ev.Event:
        """Return the event with what only I/O can find out; raise Refusal if new endpoints do not answer."""
        match event:
            case ev.DeployAsked() | ev.RegisterAsked():
                return await self._resolved(service_controller, event)
            case ev.SwitchAsked():
                if event.verb == Promoted.TYPE and event.override is None:
                    await self.models.refuse_promotion(service_controller.name, event.to)
                return replace(event, checked=await self._answers_probe(service_controller, event.to))
            case ev.ProposalDecided():
                proposal = service_controller.registry.proposals.known.get(event.proposal)
                if proposal is None or proposal.kind != "promotion":
                    return event
                if event.verb == "approve" and event.override is None:
                    await self.models.refuse_promotion(service_controller.name, proposal.version)
                return replace(event, checked=await self._answers_probe(service_controller, proposal.version))
            case ev.EndpointsAsked():
                await self._refuse_unusable(service_controller, event)
                await self._refuse_unready(service_controller, event)
                return event
            case _:
                return event

    async def _resolved(
        self, service_controller: ServiceController, event: ev.DeployAsked | ev.RegisterAsked
    ) -> ev.DeployAsked | ev.RegisterAsked:
        """Return the event with the label, the endpoints and the origin of the version that it names."""
        override = event.override if isinstance(event, ev.DeployAsked) else None
        model = await self.models.named(
            service_controller.name, event.version, list(event.endpoints), event.origin.artifact, override
        )
        event = replace(event, version=model.version, endpoints=model.endpoints, origin=model.origin)
        await self._refuse_unusable(service_controller, event)
        return event

    async def _refuse_unusable(
        self, service_controller: ServiceController, event: ev.DeployAsked | ev.RegisterAsked | ev.EndpointsAsked
    ) -> None:
        """Raise Refusal if the headers file of the version cannot be used. It is read in a thread."""
        target = service_controller.registry.targets.get(event.version)
        rewrite = event.rewrite or (target.rewrite if target is not None else NO_REWRITE)
        endpoints = event.endpoints or (target.endpoints if target is not None else ())
        if rewrite.headers_file is not None:
            check = service_controller.executor.held.refuse_unusable
            await asyncio.to_thread(check, event.version, endpoints, rewrite)

    async def _answers_probe(self, service_controller: ServiceController, version: str) -> bool:
        """Return whether a version that was rolled back as unreachable answers a probe now; a switch to it needs that."""
        target = service_controller.registry.targets.get(version)
        if target is None or target.state is not State.UNREACHABLE:
            return False
        timeout_s = service_controller.machine.limits.gate_timeout_s
        return (await self._control_loop.probes.probe_now(service_controller.name, target.version, timeout_s)).ok

    async def _refuse_unready(self, service_controller: ServiceController, event: ev.EndpointsAsked) -> None:
        """Raise Refusal unless all new endpoints of a probed version answer."""
        target = service_controller.registry.targets.get(event.version)
        if target is None or target.state not in WATCHED:
            return
        rewrite = target.rewrite if event.rewrite is None else event.rewrite
        if (target.endpoints, target.rewrite) == (event.endpoints, rewrite):
            return
        probe = service_controller.service.probe
        timeout_s = 2.0 if probe == "none" else probe.probe_timeout_s
        results = await self._control_loop.probes.check(
            service_controller.name, event.endpoints, probe, timeout_s, service_controller.sent_rewrite(rewrite)
        )
        failures = [f"{url}: {result.detail}" for url, result in results.items() if not result.ok]
        if failures:
            raise Refusal(
                RefusalCode.VERSION_NOT_READY,
                f"version {event.version} stays where it is, for not all of its new endpoints answer: {'; '.join(failures)}",
            )

    # -- after the change
    async def _confirmed(
        self, service_controller: ServiceController, event: ev.Event, change: Change, done: str, dry_run: bool
    ) -> Document:
        """Return the answer once the workers have confirmed; `done` is the message of success."""
        registry = service_controller.registry
        if dry_run or not change.changed:
            confirmation = Confirmation(
                tuple(self._control_loop.workers.unconfirmed(service_controller.executor.index, registry.generation)),
                0.0,
            )
            message = f"would be done: {done}" if change.changed else f"nothing to do: {done} already"
        else:
            confirmation = await self._control_loop.confirm(service_controller, change)
            message = done
        entry = change.entry
        awaits = _awaited(registry, event, entry)
        if awaits is not None:
            message = f"{'would wait' if dry_run else 'waits'} for approval: proposal {awaits}"
        return {
            "service": service_controller.name,
            "generation": registry.generation
            if entry is None or dry_run
            else _generation(entry) or registry.generation,
            **service_controller.roles(),
            "changed": change.changed,
            "confirmed": confirmation.complete,
            "workers_unconfirmed": list(confirmation.unconfirmed),
            "swap_us": change.swap_us,
            "confirmed_ms": confirmation.confirmed_ms,
            "journalled": True,
            "incident": _incident(entry) if entry else None,
            "awaits": awaits,
            "dry_run": dry_run,
            "message": message,
        }


def _generation(entry: Entry) -> int | None:
    return entry.fact.generation if isinstance(entry.fact, VersionFact) else None


def _incident(entry: Entry) -> str | None:
    return entry.fact.incident if isinstance(entry.fact, VersionFact) else None


def _deployed(service_controller: ServiceController, event: ev.DeployAsked, change: Change, dry_run: bool) -> Document:
    """Return the answer of a deployment, which is verified after it."""
    version, source = event.version, event.origin.source
    known = service_controller.registry.targets.get(version)
    state = known.state.value if known and not (dry_run and change.changed) else State.VERIFYING.value
    return {
        "service": service_controller.name,
        "version": version,
        "source": source,
        "state": state,
        "generation": service_controller.registry.generation,
        "changed": change.changed,
        "journalled": True,
        "dry_run": dry_run,
        "message": f"{_named(version, source)} is {state}"
        + (": promote it once it is ready" if state == "verifying" else ""),
    }


def _named(version: str, source: str | None) -> str:
    """Return the label of a version, with the URI of the model registry that it was made of."""
    return version if source is None else f"{version} ({source})"


def _registered(
    service_controller: ServiceController, event: ev.RegisterAsked, change: Change, dry_run: bool
) -> Document:
    """Return the answer of a registration, which changes no route."""
    version, source = event.version, event.origin.source
    verb = "would be" if dry_run and change.changed else "is"
    return {
        "service": service_controller.name,
        "version": version,
        "source": source,
        "changed": change.changed,
        "journalled": True,
        "dry_run": dry_run,
        "message": f"{_named(version, source)} {verb} registered" + ("" if change.changed else " already"),
    }


def _repeated_arrival(service_controller: ServiceController, fact: Deployed | Registered, message: str) -> Document:
    """Return the answer to a repeated deployment or registration; a version that was forgotten since then is retired."""
    version = fact.target.version if fact.target is not None else ""
    answer: Document = {
        "service": service_controller.name,
        "version": version,
        "source": fact.source,
        "changed": True,
        "journalled": True,
        "dry_run": False,
        "message": message,
    }
    if isinstance(fact, Registered):
        return answer
    known = service_controller.registry.targets.get(version)
    state = State.RETIRED if known is None else known.state
    return {**answer, "state": state.value, "generation": fact.generation}


def _description(event: ev.Event, registry: Registry) -> str:
    """Return the message of success, by the roles before the change."""
    match event:
        case ev.SwitchAsked():
            return f"{event.to} is active"
        case ev.RollbackAsked() if registry.active and registry.standby:
            return _rolled_back(registry.active.version, registry.standby.version)
        case ev.RetireAsked():
            return f"{event.version} {'is cut' if event.cut else 'drains'}; then its slot is free"
        case ev.EndpointsAsked():
            return f"{event.version} is at {', '.join(event.endpoints)}"
        case ev.FreezeAsked():
            return "frozen"
        case ev.UnfreezeAsked():
            return "automation is enabled"
        case ev.QuarantineAsked():
            return f"{event.version} is quarantined"
        case ev.ReleaseAsked():
            lasting = f" for {event.expires_after_s:g} s" if event.expires_after_s is not None else ""
            return f"{event.version} is released{lasting}"
        case ev.ProposalDecided() if (proposal := registry.proposals.known.get(event.proposal)) is not None:
            if event.verb == "deny":
                return f"{proposal.id} is denied, {proposal.left} stays active"
            if proposal.kind == "promotion":
                return f"{proposal.version} is active"
            return _rolled_back(proposal.version, proposal.to)
        case _:
            return ""


def _rolled_back(left: str, to: str | None) -> str:
    return f"rolled back from {left} to {to}; {left} is quarantined"


def _awaited(registry: Registry, event: ev.Event, entry: Entry | None) -> str | None:
    """Return the proposal that must be approved before the change is made; None if it is made."""
    if entry is not None:
        return entry.fact.proposal if isinstance(entry.fact, Proposed) else None
    known = registry.proposals.about("promotion", event.to) if isinstance(event, ev.SwitchAsked) else None
    return known.id if known else None
