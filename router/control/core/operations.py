"""The operator's verbs. Each verb becomes an event for the machine of its service; the answer contains the change.

The verbs take keyword arguments and raise Refusal without having changed anything. They return when every live worker
has confirmed the new route, or after `confirm_timeout_s` with the list of the workers that have not.
"""

from __future__ import annotations

from router.control.addon import Document
from router.control.core.executor import ANYTHING, Preconditions
from router.control.core.loop import ControlLoop
from router.control.core.model_resolver import ModelResolver
from router.control.core.service_controller import ServiceController
from router.control.core.workers import Confirmation
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.model import entry as entry_types
from router.rollout.model import events as ev
from router.rollout.model.endpoint import parse_endpoints
from router.rollout.model.entry import Entry
from router.rollout.model.events import Override
from router.rollout.model.target import WATCHED, State


class Operations:
    """The operators' verbs on the services of this router, for the admin API and the command line."""

    def __init__(self, control_loop: ControlLoop) -> None:
        self.models = ModelResolver()
        self._control_loop = control_loop
        self._services = control_loop.services

    async def deploy(
        self,
        *,
        service: str,
        version: str,
        endpoints: list[str],
        actor: str,
        artifact: str | None = None,
        replace: bool = False,
        override: Override | None = None,
        preconditions: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Bring a version in as candidate. It is verified after this has returned."""
        service_controller = self._services[service]
        model = await self.models.named(service, version, endpoints, artifact, override)
        version = model.version
        event = ev.DeployAsked(version, model.endpoints, actor, replace, override, model.origin)
        change = await service_controller.executor.change(event, preconditions, dry_run=dry_run)
        service_controller.watch(self._control_loop.probes)
        known = service_controller.registry.targets.get(version)
        state = known.state.value if known and not (dry_run and change.changed) else State.VERIFYING.value
        return {
            "service": service,
            "version": version,
            "state": state,
            "generation": service_controller.registry.generation,
            "changed": change.changed,
            "journalled": True,
            "dry_run": dry_run,
            "message": f"{version} is {state}" + (": promote it once it is ready" if state == "verifying" else ""),
        }

    async def promote(
        self,
        *,
        service: str,
        version: str,
        actor: str,
        reason: str = "",
        override: Override | None = None,
        preconditions: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Make the candidate (or the standby) active."""
        event = ev.SwitchAsked(version, actor, reason or "promoted", entry_types.PROMOTED, override)
        return await self._switch(service, event, preconditions, dry_run)

    async def switch(
        self,
        *,
        service: str,
        to: str,
        actor: str,
        reason: str = "",
        override: Override | None = None,
        preconditions: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Make `to` active; the version that was active becomes the standby."""
        event = ev.SwitchAsked(to, actor, reason or "switched", entry_types.SWITCHED, override)
        return await self._switch(service, event, preconditions, dry_run)

    async def _switch(
        self, service: str, event: ev.SwitchAsked, preconditions: Preconditions, dry_run: bool
    ) -> Document:
        service_controller = self._services[service]
        target = service_controller.registry.targets.get(event.to)
        checked = False
        if target is not None and target.state is State.UNREACHABLE and target.slot is not None:
            result = await self._control_loop.probes.probe_now(
                service, target.slot, service_controller.machine.limits.gate_timeout_s
            )
            checked = result.ok
        event = ev.SwitchAsked(event.to, event.actor, event.reason, event.verb, event.override, checked)
        return await self._change(service_controller, event, f"{event.to} is active", preconditions, dry_run)

    async def rollback(
        self,
        *,
        service: str,
        actor: str,
        reason: str = "",
        preconditions: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Make the standby active and quarantine the version that was active."""
        service_controller = self._services[service]
        left, to = service_controller.registry.active, service_controller.registry.standby
        done = f"rolled back from {left.version} to {to.version}; {left.version} is quarantined" if left and to else ""
        event = ev.RollbackAsked(reason or "rolled back by a person", actor)
        return await self._change(service_controller, event, done, preconditions, dry_run)

    async def retire(
        self,
        *,
        service: str,
        version: str,
        actor: str,
        cut: bool = False,
        preconditions: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Take a version out of its role; it drains, or its requests are cut, and then its slot is free."""
        service_controller = self._services[service]
        done = f"{version} " + ("is cut" if cut else "drains") + " and gives its slot back"
        return await self._change(service_controller, ev.RetireAsked(version, actor, cut), done, preconditions, dry_run)

    async def set_endpoints(
        self, *, service: str, version: str, endpoints: list[str], actor: str, dry_run: bool = False
    ) -> Document:
        """Set the endpoints of a version; new ones are probed before they are used."""
        service_controller = self._services[service]
        urls = tuple(endpoint.url for endpoint in parse_endpoints(endpoints))
        target = service_controller.registry.targets.get(version)
        if target is not None and target.state in WATCHED and target.endpoints != urls:
            await self._refuse_unready(service_controller, version, urls)
        event = ev.EndpointsAsked(version, urls, actor)
        return await self._change(service_controller, event, f"{version} is at {', '.join(urls)}", ANYTHING, dry_run)

    async def _refuse_unready(self, service_controller: ServiceController, version: str, urls: tuple[str, ...]) -> None:
        probe = service_controller.service.probe
        timeout_s = 2.0 if probe == "none" else probe.probe_timeout_s
        results = await self._control_loop.probes.check(service_controller.name, urls, probe, timeout_s)
        failures = [f"{url}: {result.detail}" for url, result in results.items() if not result.ok]
        if failures:
            raise Refusal(
                RefusalCode.VERSION_NOT_READY,
                f"version {version} stays where it is, for not all of its new endpoints answer: {'; '.join(failures)}",
            )

    async def freeze(self, *, service: str, actor: str, reason: str = "", dry_run: bool = False) -> Document:
        """Disable automation; operators may still do everything."""
        return await self._change(self._services[service], ev.FreezeAsked(actor, reason), "frozen", ANYTHING, dry_run)

    async def unfreeze(self, *, service: str, actor: str, reason: str = "", dry_run: bool = False) -> Document:
        """Enable automation again."""
        event = ev.UnfreezeAsked(actor, reason)
        return await self._change(self._services[service], event, "automation is enabled", ANYTHING, dry_run)

    async def quarantine(
        self, *, service: str, version: str, actor: str, reason: str = "", dry_run: bool = False
    ) -> Document:
        """Block a version; it loses its role. Refused if it is active."""
        event = ev.QuarantineAsked(version, actor, reason)
        return await self._change(self._services[service], event, f"{version} is quarantined", ANYTHING, dry_run)

    async def release(
        self,
        *,
        service: str,
        version: str,
        actor: str,
        reason: str = "",
        expires_after_s: float | None = None,
        dry_run: bool = False,
    ) -> Document:
        """Lift the quarantine of a version, for good or for `expires_after_s`."""
        event = ev.ReleaseAsked(version, actor, reason, expires_after_s)
        done = f"{version} is released" + (f" for {expires_after_s:g} s" if expires_after_s is not None else "")
        return await self._change(self._services[service], event, done, ANYTHING, dry_run)

    async def decide(self, *, service: str, event: ev.ProposalDecided, done: str, dry_run: bool = False) -> Document:
        """Approve or deny a proposal; `done` is the message of success."""
        return await self._change(self._services[service], event, done, ANYTHING, dry_run)

    async def _change(
        self,
        service_controller: ServiceController,
        event: ev.Event,
        done: str,
        preconditions: Preconditions,
        dry_run: bool,
    ) -> Document:
        change = await service_controller.executor.change(event, preconditions, dry_run=dry_run)
        registry = service_controller.registry
        if dry_run or not change.changed:
            confirmation = Confirmation(
                tuple(self._control_loop.workers.unconfirmed(service_controller.executor.index, registry.generation)),
                0.0,
            )
            message = f"would be done: {done}" if change.changed else f"nothing to do: {done} already"
        else:
            service_controller.watch(self._control_loop.probes)
            confirmation = await self._control_loop.confirm(service_controller, change)
            message = done
        entry = change.entry
        awaits = _awaited(service_controller, event, entry)
        if awaits is not None:
            message = f"{'would wait' if dry_run else 'waits'} for approval: rollback-router approve {awaits}"
        return {
            "service": service_controller.name,
            "generation": registry.generation
            if entry is None or dry_run
            else entry.data.get("generation", registry.generation),
            **service_controller.roles(),
            "changed": change.changed,
            "confirmed": confirmation.complete,
            "workers_unconfirmed": list(confirmation.unconfirmed),
            "swap_us": change.swap_us,
            "confirmed_ms": confirmation.confirmed_ms,
            "journalled": True,
            "incident": entry.data.get("incident") if entry else None,
            "awaits": awaits,
            "dry_run": dry_run,
            "message": message,
        }


def _awaited(service_controller: ServiceController, event: ev.Event, entry: Entry | None) -> str | None:
    """Return the proposal that must be approved before the change is made; None if it is made."""
    if entry is not None:
        return str(entry.data["proposal"]) if entry.type == entry_types.PROPOSED else None
    known = (
        service_controller.registry.proposals.about("promotion", event.to)
        if isinstance(event, ev.SwitchAsked)
        else None
    )
    return known.id if known else None
