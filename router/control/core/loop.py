"""The tick and the verbs. No policy: the machine decides, the conductor performs, this says what came of it.

The verbs that change something take keyword arguments, raise OperatorError without having changed anything, and return when
every live worker has confirmed, or say which has not (`confirm_timeout_s`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, ParamSpec

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
from router.control.store.journal import Journal
from router.rollout.model import entry as kinds
from router.rollout.model import events as ev
from router.rollout.model.commands import CheckStandby, Record
from router.rollout.model.entry import Entry
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
        probes: Callable[[Settings, Tasks, Callable[[ev.ProbeCompleted], None]], Probes] = Probes,
    ) -> None:
        self.settings = settings
        self.segment = segment
        self.worker_stats = worker_stats
        self.switch_stats = SwitchStats(sorted(settings.services))
        self.alarms = alarms
        self.certificates = CertificateMonitor(settings, alarms)
        self.broadcast = Broadcast()
        self.tasks = Tasks()
        self.probes = probes(settings, self.tasks, self._probed)
        self.services = Services()
        self.addons: Sequence[Addon] = ()
        self.differences: list[str] = []
        """Where the settings differ from the journal."""
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
        self.differences = differences(
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
        self.tasks.spawn(self.confirm(service_controller, change), f"confirm {service_controller.name}")

    def confirm_left(self, service_controller: ServiceController) -> None:
        """A predecessor died between a switch and its confirmation: do that for it, by the times that the workers keep."""
        last, cell = service_controller.registry.last_switch, service_controller.executor.cell
        route = cell.read()
        if last is not None and last["swap_us"] is None and route and route.generation == last["generation"]:
            entry = Entry(last["type"], service_controller.name, "control", last, 0.0, 0, 0)
            change = Change(entry, cell.decided_ns(), cell.stored_ns())
            self.tasks.spawn(self.confirm(service_controller, change, late=True), f"confirm {service_controller.name}")

    async def confirm(self, service_controller: ServiceController, change: Change, late: bool = False) -> Confirmation:
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
