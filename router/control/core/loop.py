"""The tick over all services, and the confirmation of switches. No policy: the state machine decides."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec

from router.control.addon import Addon
from router.control.core.executor import Change
from router.control.core.probes import Probes
from router.control.core.recovery import differences
from router.control.core.sampler import StallDetector
from router.control.core.service_controller import ServiceController, Services
from router.control.core.workers import Confirmation, Workers
from router.control.monitors.alarms import Alarms
from router.control.monitors.broadcast import Broadcast
from router.control.monitors.certificates import CertificateMonitor
from router.control.monitors.overload import OverloadMonitor
from router.control.monitors.switch_stats import SwitchStats
from router.control.store.header_files import HeaderFiles
from router.control.store.journal_file import JournalFile
from router.names.resolver import Resolver
from router.rollout.facts.drills import DrillSwitched
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.record import Record
from router.rollout.facts.router_itself import SettingsChanged
from router.rollout.facts.switches import Confirmed, Promoted, RolledBack, Switched
from router.rollout.model import events as ev
from router.rollout.model.commands import CheckStandby
from router.rollout.model.endpoint import parse_endpoint
from router.rollout.model.route import generation_text
from router.runtime import clock
from router.runtime.tasks import Tasks
from router.settings.settings import Settings
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)
TICK_S: Final = 0.1
_ADDONS_EVERY_NS: Final = 1_000_000_000
_REASONS: Final = {
    Promoted.TYPE: "promote",
    Switched.TYPE: "switch",
    RolledBack.TYPE: "rollback",
    DrillSwitched.TYPE: "drill",
}
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class _Published:
    """A published route. `reason` is that of the switch; None if it was no switch. `stored_ns` is monotonic."""

    generation: int
    reason: str | None
    swap_us: int
    stored_ns: int


def _reason(entry_type: str, trigger: dict[str, Any] | None) -> str | None:
    """Return the kind of the trigger, else the verb; None for an entry that is no switch."""
    return trigger["kind"] if trigger and entry_type in _REASONS else _REASONS.get(entry_type)


class ControlLoop:
    """All services of this router. Wiring adds each service of the start and the add-ons before the first tick.

    `leaving` are services that the settings lack, and that still have requests in flight: these are counted, and not judged.
    """

    def __init__(
        self,
        settings: Settings,
        segment: Segment,
        worker_stats: WorkerStats,
        workers: Workers,
        journal: JournalFile,
        alarms: Alarms,
        probes: Callable[[Settings, Tasks, Callable[[ev.ProbeCompleted], None]], Probes] = Probes,
    ) -> None:
        self.settings = settings
        self.settings_read_at = clock.iso(clock.wall_s())
        self.segment = segment
        self.worker_stats = worker_stats
        self.switch_stats = SwitchStats(sorted(settings.services))
        self.alarms = alarms
        self.certificates = CertificateMonitor(settings, alarms)
        self.broadcast = Broadcast()
        self.header_files = HeaderFiles()
        self.tasks = Tasks()
        self.probes = probes(settings, self.tasks, self._probed)
        self.services = Services()
        self.leaving: frozenset[str] = frozenset()
        self.probes.set_useful_source(self._last_useful_ns)
        self.addons: tuple[Addon, ...] = ()
        self.differences: list[str] = []
        """Where the settings differ from the journal, as of the start or the last SIGHUP."""
        self.resolver = Resolver()
        self.workers = workers
        self._journal = journal
        self._stalls = StallDetector(worker_stats, workers)
        self._overload = OverloadMonitor(worker_stats, alarms)
        self._entries: list[Entry] = []
        self._awaited: frozenset[str] = frozenset()
        self._addons_at_ns = 0

    # -- wiring
    def add_service(self, service_controller: ServiceController) -> None:
        """Add a reconciled service: probe its versions, confirm the switch that a previous control has left unconfirmed."""
        service_controller.watch(self.probes)
        self.services[service_controller.name] = service_controller
        self._confirm_left(service_controller)

    def set_leaving(self, services: Iterable[str]) -> None:
        """Judge these services no more: the settings lack them, and their last requests are in flight."""
        self.leaving = frozenset(services)

    def await_services(self, services: Iterable[str]) -> None:
        """Keep the entries of these services for the add-ons, which know them only after `introduce`; none: wait no more."""
        self._awaited = frozenset(services)

    def add_addons(self, *addons: Addon) -> None:
        """Add add-ons behind the present ones, and connect their triggers and promotion checks to the services."""
        self.addons = (*self.addons, *addons)
        for addon in addons:
            self._connect(addon, self.services)

    def _connect(self, addon: Addon, names: Iterable[str]) -> None:
        sources, checks = addon.trigger_sources(), addon.promotion_checks()
        for name in names:
            if (source := sources.get(name)) is not None:
                self.services[name].add_trigger_source(source)
            if (promotion_check := checks.get(name)) is not None:
                self.services[name].machine.set_promotion_check(promotion_check)

    def introduce(self, name: str, entries: Sequence[Entry]) -> None:
        """Let the add-ons take a service that was added while control runs; `entries` are the journal's of it."""
        self.switch_stats.add(name)
        for addon in self.addons:
            self._guarded(type(addon).__name__, addon.service_added, name, entries)
            self._connect(addon, (name,))

    def remove_service(self, name: str) -> None:
        """Forget a service: its probes, its alarms, and what the add-ons know of it."""
        for addon in self.addons:
            self._guarded(type(addon).__name__, addon.service_removed, name)
        self.services.pop(name).unwatch(self.probes)
        self.switch_stats.forget(name)
        self.alarms.forget(name)

    def compare_settings(self) -> None:
        """Find where the settings differ from the journal."""
        registries = {
            name: service_controller.registry
            for name, service_controller in self.services.items()
            if name not in self.leaving
        }
        self.differences = differences(self.settings, registries)
        self.differences += [f"services.{name} is removed, and ends its last requests" for name in sorted(self.leaving)]

    async def close(self) -> bool:
        """Stop probes and tasks, and write the journal; return whether the disk has taken every entry."""
        await self.probes.close()
        await self.tasks.close()
        return await self._journal.close()

    async def keep_resolving(self) -> None:
        """Resolve the names of all endpoints at once, and then every `resolve_every_s`."""
        while True:
            holders = [holder for service in self.services.values() for holder in service.executor.held.holders()]
            hosts = {parse_endpoint(url).host for holder in holders for url in holder.target.endpoints}
            await self.resolver.refresh(hosts - {""})
            await asyncio.sleep(self.settings.timeouts.resolve_every_s)

    # -- the tick
    def tick(self, now_ns: int, own_lag_s: float) -> None:
        """Do one round; `own_lag_s` is the delay of this tick. An error in one service raises an alarm and stops no other."""
        stall_s = min(
            (service_controller.service.rules.stall_s for service_controller in self.services.values()), default=1.0
        )
        self._journal.check_disk(now_ns)
        self._overload.check(now_ns)
        stalled = self._stalls.check(now_ns, own_lag_s, stall_s)
        for service_controller in list(self.services.values()):
            step = self._judge if service_controller.name not in self.leaving else ServiceController.sample
            self._guarded(service_controller.name, step, service_controller, now_ns, stalled)
        self._notify_addons(now_ns)

    def _judge(self, service_controller: ServiceController, now_ns: int, stalled: bool) -> None:
        service_controller.tick(now_ns, stalled)
        service_controller.watch(self.probes)

    def entry_applied(self, entry: Entry) -> None:
        """Keep an entry for the add-ons, which get it after all services were judged."""
        self._entries.append(entry)

    def _notify_addons(self, now_ns: int) -> None:
        entries = [entry for entry in self._entries if entry.service not in self._awaited]
        self._entries = [entry for entry in self._entries if entry.service in self._awaited]
        due = now_ns - self._addons_at_ns >= _ADDONS_EVERY_NS
        if due:
            self._addons_at_ns = now_ns
        for addon in self.addons:
            name = type(addon).__name__
            for entry in entries:
                self._guarded(name, addon.on_entry, entry)
            if due:
                self._guarded(name, addon.on_second, now_ns)

    def _guarded(self, name: str, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as error:  # one of the four guards: the control tick
            log.exception("tick of %s", name)
            detail = f"{type(error).__name__}: {error}"
            if name in self.services:
                self.alarms.up("router_fault", detail, name)
            else:
                self.alarms.up("router_fault", f"{name}: {detail}")

    def reconfigure(self, settings: Settings, version: int | None = None, leaving: Iterable[str] = ()) -> None:
        """Apply other settings (SIGHUP) to the services that are there: number `version`, which is journalled; None: the present
        one again. `settings` have the services that are `leaving`, too.
        """
        self.set_leaving(leaving)
        self.settings, self.settings_read_at = settings, clock.iso(clock.wall_s())
        self._read_header_files()
        self.probes.reconfigure(settings)
        self.certificates.reconfigure(settings)
        for addon in self.addons:
            addon.reconfigure(settings)
        for service_controller in self.services.values():
            service_controller.reconfigure(settings)
        self.compare_settings()
        for service_controller in self.services.values() if version is not None else ():
            record = Record(SettingsChanged(version=version), "operator")
            service_controller.executor.perform([record], clock.now_ns())

    def _read_header_files(self) -> None:
        """Read the header fields of versions again. A file that cannot be used keeps its last fields, and raises an alarm."""
        errors = self.header_files.reload()
        if errors:
            self.alarms.up("headers_file_unusable", "; ".join(errors.values()))
        else:
            self.alarms.down("headers_file_unusable")
        for service_controller in self.services.values():
            service_controller.executor.held.refill()

    def _probed(self, event: ev.ProbeCompleted) -> None:
        service_controller = self.services.get(event.service)
        if service_controller is not None:
            service_controller.probed(event)

    def _last_useful_ns(self, service: str, version: str, url: str) -> int:
        service_controller = self.services.get(service)
        return service_controller.last_useful_ns(version, url) if service_controller is not None else 0

    def check(self, name: str) -> Callable[[CheckStandby], None]:
        """Return the function with which the executor of service `name` starts a fresh probe of the standby."""
        return lambda command: self._check(name, command)

    def _check(self, name: str, command: CheckStandby) -> None:
        async def probe() -> None:
            result = await self.probes.probe_now(name, command.version, command.timeout_s)
            service_controller = self.services.get(name)
            if service_controller is None:
                return
            # The streaks know more than the probe: an answer of another kind than the verified one is not good.
            no_standby = service_controller.machine.gate.no_standby_reason() if result.ok else None
            event = ev.StandbyChecked(no_standby is None and result.ok, no_standby or result.detail, command.generation)
            service_controller.checked(event, clock.now_ns())

        self.tasks.spawn(probe(), f"check standby of {name}")

    def switched(self, service_controller: ServiceController, change: Change) -> None:
        """Confirm an automatic switch in a task: wait for the workers, count it, journal its duration."""
        self.tasks.spawn(self.confirm(service_controller, change), f"confirm {service_controller.name}")

    def _confirm_left(self, service_controller: ServiceController) -> None:
        """Confirm a switch whose control died before the confirmation, by the times that the workers have kept."""
        last, cell = service_controller.registry.last_switch, service_controller.executor.cell
        route = cell.read()
        if last is not None and last["swap_us"] is None and route and route.generation == last["generation"]:
            reason, stored_ns = _reason(last["type"], last.get("trigger")), cell.stored_ns()
            published = _Published(route.generation, reason, max(0, (stored_ns - cell.decided_ns()) // 1000), stored_ns)
            self.tasks.spawn(
                self._confirm(service_controller, published, late=True), f"confirm {service_controller.name}"
            )

    async def confirm(self, service_controller: ServiceController, change: Change) -> Confirmation:
        """Wait for the workers, if `change` has published a route."""
        entry = change.entry
        if change.stored_ns is None or entry is None:
            return Confirmation((), 0.0)
        reason = _reason(entry.type, entry.fact.trigger if isinstance(entry.fact, RolledBack) else None)
        published = _Published(route_generation(entry) or 0, reason, change.swap_us, change.stored_ns)
        return await self._confirm(service_controller, published)

    async def _confirm(
        self, service_controller: ServiceController, published: _Published, late: bool = False
    ) -> Confirmation:
        """Wait for the workers; raise `workers_unconfirmed` or end it; count and journal the duration if it was a switch."""
        generation, timeout_s = published.generation, self.settings.timeouts.confirm_timeout_s
        confirmation = await self.workers.confirm(
            service_controller.executor.index, generation, published.stored_ns, timeout_s
        )
        if self.services.get(service_controller.name) is not service_controller:  # it was removed meanwhile
            return confirmation
        code = "workers_unconfirmed"
        if confirmation.complete:
            self.alarms.down(code, service_controller.name)
        else:
            self.alarms.up(
                code,
                f"workers {list(confirmation.unconfirmed)} have not confirmed generation {generation_text(generation)}",
                service_controller.name,
            )
        if published.reason is not None:
            took_ms = (
                confirmation.confirmed_ms if not late else max((ms for _, ms in confirmation.workers_ms), default=None)
            )
            self.switch_stats.record(
                service_controller.name, published.reason, published.swap_us, took_ms if confirmation.complete else None
            )
            fact = Confirmed(
                generation=generation,
                swap_us=published.swap_us,
                confirmed_ms=took_ms if confirmation.complete else None,
                workers_unconfirmed=tuple(confirmation.unconfirmed),
                workers_ms=tuple(confirmation.workers_ms),
            )
            service_controller.executor.perform([Record(fact, "control")], clock.now_ns())
        return confirmation
