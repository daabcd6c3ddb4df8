"""The tick and the verbs. No policy: the machine decides, the conductor performs, this says what came of it.

The verbs that change something take keyword arguments, raise OperatorError without having changed anything, and return when
every live worker has confirmed, or say which has not (`confirm_timeout_s`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec

from router.control.addon import Addon
from router.control.core.executor import ANYTHING, Change, Preconditions
from router.control.core.model_resolver import ModelResolver
from router.control.core.probes import Probes
from router.control.core.recovery import differences
from router.control.core.sampler import StallDetector
from router.control.core.service_controller import ServiceController
from router.control.core.workers import Confirmation, Workers
from router.control.monitors.alarms import Alarms
from router.control.monitors.broadcast import Broadcast
from router.control.monitors.certificates import CertificateMonitor
from router.control.monitors.overload import OverloadMonitor
from router.control.monitors.switch_stats import SwitchStats
from router.control.store.journal import Journal
from router.control.views import status
from router.control.views.queries import Queries
from router.errors import OperatorError
from router.rollout.model import entry as kinds
from router.rollout.model import events as ev
from router.rollout.model.commands import CheckStandby, Record
from router.rollout.model.endpoint import parse_endpoints
from router.rollout.model.entry import Entry
from router.rollout.model.events import Override
from router.rollout.model.target import WATCHED, State
from router.runtime import clock
from router.runtime.tasks import Tasks
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)
TICK_S: Final = 0.1
_OFFICES_EVERY_NS: Final = 1_000_000_000
_REASONS: Final = {
    kinds.PROMOTED: "promote",
    kinds.SWITCHED: "switch",
    kinds.ROLLED_BACK: "rollback",
    kinds.DRILL_SWITCHED: "drill",
}
Document = dict[str, Any]
P = ParamSpec("P")


class ControlLoop:
    """All services of this router. `benches` is filled by the composition root before the first tick."""

    def __init__(
        self,
        settings: Settings,
        segment: Segment,
        worker_stats: WorkerStats,
        crew: Workers,
        journal: Journal,
        alarms: Alarms,
        origin: str,
    ) -> None:
        self.settings = settings
        self.segment = segment
        self.worker_stats = worker_stats
        self.switch_stats = SwitchStats(sorted(settings.services))
        self.alarms = alarms
        self.certificates = CertificateMonitor(settings, alarms)
        self.broadcast = Broadcast()
        self.tasks = Tasks()
        self.probes = Probes(settings, self.tasks, self._probed)
        self.services: dict[str, ServiceController] = {}
        self.addons: Sequence[Addon] = ()
        self.models = ModelResolver()
        self.view = Queries(self, journal, origin)
        self.workers = crew
        self._journal = journal
        self._stalls = StallDetector(worker_stats, crew)
        self._overload = OverloadMonitor(worker_stats, alarms)
        self._facts: list[Entry] = []
        self._addons_at_ns = 0

    # -- the tick
    def tick(self, now_ns: int, own_lag_s: float) -> None:
        """Look at everything once; `own_lag_s` is how late this look is. An error of ours is alarmed and stops no service."""
        stall_s = min(
            (service_controller.service.rules.stall_s for service_controller in self.services.values()), default=1.0
        )
        self._journal.look(now_ns)
        self._overload.look(now_ns)
        stalled = self._stalls.look(now_ns, own_lag_s, stall_s)
        for service_controller in self.services.values():
            self._guarded(service_controller.name, self._judge, service_controller, now_ns, stalled)
        self._notify_addons(now_ns)

    def _judge(self, service_controller: ServiceController, now_ns: int, stalled: bool) -> None:
        service_controller.tick(now_ns, stalled)
        service_controller.watch(self.probes)

    def entry_applied(self, entry: Entry) -> None:
        """Keep a fact for the offices: they are told after the services were judged."""
        self._facts.append(entry)

    def _notify_addons(self, now_ns: int) -> None:
        facts, self._facts = self._facts, []
        due = now_ns - self._addons_at_ns >= _OFFICES_EVERY_NS
        if due:
            self._addons_at_ns = now_ns
        for addon in self.addons:
            name = type(addon).__name__
            for entry in facts:
                self._guarded(name, addon.on_entry, entry)
            if due:
                self._guarded(name, addon.on_second, now_ns)

    def _guarded(self, who: str, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as error:  # one of the four guards: the control tick
            log.exception("tick of %s", who)
            told = f"{type(error).__name__}: {error}"
            if who in self.services:
                self.alarms.up("router_fault", told, who)
            else:
                self.alarms.up("router_fault", f"{who}: {told}")

    def reconfigure(self, settings: Settings) -> None:
        """Take over other settings (SIGHUP); the set of services stays as it was at the start."""
        self.settings = settings
        self.probes.reconfigure(settings)
        self.certificates.reconfigure(settings)
        for addon in self.addons:
            addon.reconfigure(settings)
        for service_controller in self.services.values():
            service_controller.reconfigure(settings)
        self.view.differences = differences(
            settings, {name: service_controller.registry for name, service_controller in self.services.items()}
        )
        for service_controller in self.services.values():
            note = Record(kinds.SETTINGS_CHANGED, "operator", {"version": self.segment.words[at.H_SETTINGS]})
            service_controller.executor.perform([note], clock.now_ns())

    def _probed(self, event: ev.ProbeCompleted) -> None:
        service_controller = self.services.get(event.service)
        if service_controller is not None:
            service_controller.probed(event)

    def check(self, name: str) -> Callable[[CheckStandby], None]:
        """Return what a conductor calls when the gate wants a fresh probe of service `name`."""
        return lambda command: self._check(name, command)

    def _check(self, name: str, command: CheckStandby) -> None:
        async def ask() -> None:
            result = await self.probes.probe_now(name, command.slot, command.timeout_s)
            event = ev.StandbyChecked(result.ok, result.detail, command.generation)
            self.services[name].checked(event, clock.now_ns())

        self.tasks.spawn(ask(), f"check standby of {name}")

    def switched(self, service_controller: ServiceController, change: Change) -> None:
        """An automatic rollback was stored: confirm it, count it, journal how long it took."""
        self.tasks.spawn(self._confirm(service_controller, change), f"confirm {service_controller.name}")

    def confirm_left(self, service_controller: ServiceController) -> None:
        """A predecessor died between a switch and its confirmation: do that for it, by the times that the workers keep."""
        last, cell = service_controller.registry.last_switch, service_controller.executor.cell
        route = cell.read()
        if last is not None and last["swap_us"] is None and route and route.generation == last["generation"]:
            entry = Entry(last["type"], service_controller.name, "control", last, 0.0, 0, 0)
            change = Change(entry, cell.decided_ns(), cell.stored_ns())
            self.tasks.spawn(self._confirm(service_controller, change, late=True), f"confirm {service_controller.name}")

    async def _confirm(self, service_controller: ServiceController, change: Change, late: bool = False) -> Confirmation:
        """Wait for the workers; what this change was, and how long it took, becomes a fact too if it was a switch."""
        entry = change.entry
        if change.stored_ns is None or entry is None:
            return Confirmation((), 0.0)
        generation, timeout_s = entry.data["generation"], self.settings.timeouts.confirm_timeout_s
        told = await self.workers.confirm(service_controller.executor.index, generation, change.stored_ns, timeout_s)
        code = "workers_unconfirmed"
        if told.complete:
            self.alarms.down(code, service_controller.name)
        else:
            self.alarms.up(
                code, f"workers {list(told.unconfirmed)} have not confirmed {generation}", service_controller.name
            )
        if entry.type in _REASONS:
            trigger = entry.data.get("trigger")
            reason = trigger["kind"] if trigger else _REASONS[entry.type]
            took_ms = told.confirmed_ms if not late else max((ms for _, ms in told.workers_ms), default=None)
            self.switch_stats.note(service_controller.name, reason, change.swap_us, took_ms if told.complete else None)
            data = {
                "generation": generation,
                "swap_us": change.swap_us,
                "confirmed_ms": took_ms if told.complete else None,
                "workers_unconfirmed": list(told.unconfirmed),
                "workers_ms": told.workers_ms,
            }
            service_controller.executor.perform([Record(kinds.CONFIRMED, "control", data)], clock.now_ns())
        return told

    # -- verbs that change something
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
        expect: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Bring a version in as candidate; it is verified while this has long returned."""
        service_controller = self.view.service(service)
        model = await self.models.named(service, version, endpoints, artifact, override)
        version = model.version
        event = ev.DeployAsked(version, model.endpoints, actor, replace, override, model.origin)
        change = await service_controller.executor.change(event, expect, dry_run=dry_run)
        service_controller.watch(self.probes)
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
        expect: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Make the candidate (or the standby) active."""
        event = ev.SwitchAsked(version, actor, reason or "promoted", kinds.PROMOTED, override)
        return await self._switch(service, event, expect, dry_run)

    async def switch(
        self,
        *,
        service: str,
        to: str,
        actor: str,
        reason: str = "",
        override: Override | None = None,
        expect: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Make `to` active; the version that was becomes the standby."""
        event = ev.SwitchAsked(to, actor, reason or "switched", kinds.SWITCHED, override)
        return await self._switch(service, event, expect, dry_run)

    async def _switch(self, service: str, event: ev.SwitchAsked, expect: Preconditions, dry_run: bool) -> Document:
        service_controller = self.view.service(service)
        target = service_controller.registry.targets.get(event.to)
        checked = False
        if target is not None and target.state is State.UNREACHABLE and target.slot is not None:
            result = await self.probes.probe_now(service, target.slot, service_controller.machine.limits.gate_timeout_s)
            checked = result.ok
        event = ev.SwitchAsked(event.to, event.actor, event.reason, event.verb, event.override, checked)
        return await self._change(service_controller, event, f"{event.to} is active", expect, dry_run)

    async def rollback(
        self, *, service: str, actor: str, reason: str = "", expect: Preconditions = ANYTHING, dry_run: bool = False
    ) -> Document:
        """Make the standby active and quarantine the version that was."""
        service_controller = self.view.service(service)
        left, to = service_controller.registry.active, service_controller.registry.standby
        told = f"rolled back from {left.version} to {to.version}; {left.version} is quarantined" if left and to else ""
        event = ev.RollbackAsked(reason or "rolled back by a person", actor)
        return await self._change(service_controller, event, told, expect, dry_run)

    async def retire(
        self,
        *,
        service: str,
        version: str,
        actor: str,
        cut: bool = False,
        expect: Preconditions = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Take a version out of its role; it drains, or is cut, and then gives its slot back."""
        service_controller = self.view.service(service)
        told = f"{version} " + ("is cut" if cut else "drains") + " and gives its slot back"
        return await self._change(service_controller, ev.RetireAsked(version, actor, cut), told, expect, dry_run)

    async def set_endpoints(
        self, *, service: str, version: str, endpoints: list[str], actor: str, dry_run: bool = False
    ) -> Document:
        """Move the replicas of a version; the new ones are probed before they are used."""
        service_controller = self.view.service(service)
        urls = tuple(endpoint.url for endpoint in parse_endpoints(endpoints))
        target = service_controller.registry.targets.get(version)
        if target is not None and target.state in WATCHED and target.endpoints != urls:
            await self._refuse_dead(service_controller, version, urls)
        event = ev.EndpointsAsked(version, urls, actor)
        return await self._change(service_controller, event, f"{version} is at {', '.join(urls)}", ANYTHING, dry_run)

    async def _refuse_dead(self, service_controller: ServiceController, version: str, urls: tuple[str, ...]) -> None:
        probe = service_controller.service.probe
        timeout_s = 2.0 if probe == "none" else probe.probe_timeout_s
        results = await self.probes.check(service_controller.name, urls, probe, timeout_s)
        bad = [f"{url}: {result.detail}" for url, result in results.items() if not result.ok]
        if bad:
            raise OperatorError(
                409,
                "version_not_ready",
                f"version {version} stays where it is, for not all of its new endpoints answer: {'; '.join(bad)}",
                exit_code=9,
            )

    async def freeze(self, *, service: str, actor: str, reason: str = "", dry_run: bool = False) -> Document:
        """Disable automation; people may still do everything."""
        return await self._change(
            self.view.service(service), ev.FreezeAsked(actor, reason), "frozen", ANYTHING, dry_run
        )

    async def unfreeze(self, *, service: str, actor: str, reason: str = "", dry_run: bool = False) -> Document:
        """Enable automation again."""
        event = ev.UnfreezeAsked(actor, reason)
        return await self._change(self.view.service(service), event, "automation is enabled", ANYTHING, dry_run)

    async def quarantine(
        self, *, service: str, version: str, actor: str, reason: str = "", dry_run: bool = False
    ) -> Document:
        """Block a version; it loses its role, unless it is active: then this is refused."""
        event = ev.QuarantineAsked(version, actor, reason)
        return await self._change(self.view.service(service), event, f"{version} is quarantined", ANYTHING, dry_run)

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
        """Lift the mark of a version, for good or for a while."""
        event = ev.ReleaseAsked(version, actor, reason, expires_after_s)
        told = f"{version} is released" + (f" for {expires_after_s:g} s" if expires_after_s is not None else "")
        return await self._change(self.view.service(service), event, told, ANYTHING, dry_run)

    async def decide(self, *, service: str, event: ev.ProposalDecided, told: str, dry_run: bool = False) -> Document:
        """Approve or deny a proposal; `told` says what is true then."""
        return await self._change(self.view.service(service), event, told, ANYTHING, dry_run)

    async def _change(
        self, service_controller: ServiceController, event: ev.Event, told: str, expect: Preconditions, dry_run: bool
    ) -> Document:
        change = await service_controller.executor.change(event, expect, dry_run=dry_run)
        registry = service_controller.registry
        if dry_run or not change.changed:
            confirmation = Confirmation(
                tuple(self.workers.unconfirmed(service_controller.executor.index, registry.generation)), 0.0
            )
            message = f"would be done: {told}" if change.changed else f"nothing to do: {told} already"
        else:
            service_controller.watch(self.probes)
            confirmation = await self._confirm(service_controller, change)
            message = told
        entry = change.entry
        awaits = _awaited(service_controller, event, entry)
        if awaits is not None:
            message = f"{'would wait' if dry_run else 'waits'} for approval: rollback-router approve {awaits}"
        return {
            "service": service_controller.name,
            "generation": registry.generation
            if entry is None or dry_run
            else entry.data.get("generation", registry.generation),
            **status.roles(registry),
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
    """Return the proposal that somebody has to approve before what was asked is done; None if it is done."""
    if entry is not None:
        return str(entry.data["proposal"]) if entry.type == kinds.PROPOSED else None
    known = (
        service_controller.registry.proposals.about("promotion", event.to)
        if isinstance(event, ev.SwitchAsked)
        else None
    )
    return known.id if known else None
