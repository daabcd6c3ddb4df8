"""The tick and the verbs. No policy: the machine decides, the conductor performs, this says what came of it.

The verbs that change something take keyword arguments, raise OperatorError without having changed anything, and return when
every live worker has confirmed, or say which has not (`confirm_timeout_s`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, ParamSpec

from router import clock
from router.config import Settings
from router.control import status
from router.control.alarms import Alarms
from router.control.bench import Bench
from router.control.broadcast import Broadcast
from router.control.conductor import ANYTHING, Change
from router.control.crew import Confirmation, Crew
from router.control.expect import Expect
from router.control.expiry import Expiry
from router.control.office import Office
from router.control.pressure import Pressure
from router.control.probes import Probes
from router.control.recovery import differences
from router.control.sampler import Stalls
from router.control.store.journal import Journal
from router.control.tally import Tally
from router.control.versions.model import Models
from router.control.view import View
from router.errors import OperatorError
from router.rollout import entry as kinds
from router.rollout import events as ev
from router.rollout.commands import CheckStandby, Record
from router.rollout.endpoint import parse_endpoints
from router.rollout.entry import Entry
from router.rollout.events import Override
from router.rollout.target import WATCHED, State
from router.shm import layout as at
from router.shm.lanes import Lanes
from router.shm.wall import Wall
from router.tasks import Tasks

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


class Controller:
    """All services of this router. `benches` is filled by the composition root before the first tick."""

    def __init__(
        self, settings: Settings, wall: Wall, lanes: Lanes, crew: Crew, journal: Journal, alarms: Alarms, origin: str
    ) -> None:
        self.settings = settings
        self.wall = wall
        self.lanes = lanes
        self.tally = Tally(sorted(settings.services))
        self.alarms = alarms
        self.expiry = Expiry(settings, alarms)
        self.broadcast = Broadcast()
        self.tasks = Tasks()
        self.probes = Probes(settings, self.tasks, self._probed)
        self.benches: dict[str, Bench] = {}
        self.offices: Sequence[Office] = ()
        self.models = Models()
        self.view = View(self, journal, origin)
        self.crew = crew
        self._journal = journal
        self._stalls = Stalls(lanes, crew)
        self._pressure = Pressure(lanes, alarms)
        self._facts: list[Entry] = []
        self._offices_at_ns = 0

    # -- the tick
    def tick(self, now_ns: int, own_lag_s: float) -> None:
        """Look at everything once; `own_lag_s` is how late this look is. An error of ours is alarmed and stops no service."""
        stall_s = min((bench.service.rules.stall_s for bench in self.benches.values()), default=1.0)
        self._journal.look(now_ns)
        self._pressure.look(now_ns)
        stalled = self._stalls.look(now_ns, own_lag_s, stall_s)
        for bench in self.benches.values():
            self._guarded(bench.name, self._judge, bench, now_ns, stalled)
        self._tell_offices(now_ns)

    def _judge(self, bench: Bench, now_ns: int, stalled: bool) -> None:
        bench.tick(now_ns, stalled)
        bench.watch(self.probes)

    def told(self, entry: Entry) -> None:
        """Keep a fact for the offices: they are told after the services were judged."""
        self._facts.append(entry)

    def _tell_offices(self, now_ns: int) -> None:
        facts, self._facts = self._facts, []
        due = now_ns - self._offices_at_ns >= _OFFICES_EVERY_NS
        if due:
            self._offices_at_ns = now_ns
        for office in self.offices:
            name = type(office).__name__
            for entry in facts:
                self._guarded(name, office.told, entry)
            if due:
                self._guarded(name, office.tick, now_ns)

    def _guarded(self, who: str, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as error:  # one of the four guards: the control tick
            log.exception("tick of %s", who)
            told = f"{type(error).__name__}: {error}"
            if who in self.benches:
                self.alarms.up("router_fault", told, who)
            else:
                self.alarms.up("router_fault", f"{who}: {told}")

    def reconfigure(self, settings: Settings) -> None:
        """Take over other settings (SIGHUP); the set of services stays as it was at the start."""
        self.settings = settings
        self.probes.reconfigure(settings)
        self.expiry.reconfigure(settings)
        for office in self.offices:
            office.reconfigure(settings)
        for bench in self.benches.values():
            bench.reconfigure(settings)
        self.view.differences = differences(settings, {name: bench.registry for name, bench in self.benches.items()})
        for bench in self.benches.values():
            note = Record(kinds.SETTINGS_CHANGED, "operator", {"version": self.wall.words[at.H_SETTINGS]})
            bench.conductor.perform([note], clock.now_ns())

    def _probed(self, event: ev.ProbeCompleted) -> None:
        bench = self.benches.get(event.service)
        if bench is not None:
            bench.probed(event)

    def check(self, name: str) -> Callable[[CheckStandby], None]:
        """Return what a conductor calls when the gate wants a fresh probe of service `name`."""
        return lambda command: self._check(name, command)

    def _check(self, name: str, command: CheckStandby) -> None:
        async def ask() -> None:
            result = await self.probes.probe_now(name, command.slot, command.timeout_s)
            event = ev.StandbyChecked(result.ok, result.detail, command.generation)
            self.benches[name].checked(event, clock.now_ns())

        self.tasks.spawn(ask(), f"check standby of {name}")

    def switched(self, bench: Bench, change: Change) -> None:
        """An automatic rollback was stored: confirm it, count it, journal how long it took."""
        self.tasks.spawn(self._confirm(bench, change), f"confirm {bench.name}")

    def confirm_left(self, bench: Bench) -> None:
        """A predecessor died between a switch and its confirmation: do that for it, by the times that the workers keep."""
        last, cell = bench.registry.last_switch, bench.conductor.cell
        route = cell.read()
        if last is not None and last["swap_us"] is None and route and route.generation == last["generation"]:
            entry = Entry(last["type"], bench.name, "control", last, 0.0, 0, 0)
            change = Change(entry, cell.decided_ns(), cell.stored_ns())
            self.tasks.spawn(self._confirm(bench, change, late=True), f"confirm {bench.name}")

    async def _confirm(self, bench: Bench, change: Change, late: bool = False) -> Confirmation:
        """Wait for the workers; what this change was, and how long it took, becomes a fact too if it was a switch."""
        entry = change.entry
        if change.stored_ns is None or entry is None:
            return Confirmation((), 0.0)
        generation, timeout_s = entry.data["generation"], self.settings.timeouts.confirm_timeout_s
        told = await self.crew.confirm(bench.conductor.index, generation, change.stored_ns, timeout_s)
        code = "workers_unconfirmed"
        if told.complete:
            self.alarms.down(code, bench.name)
        else:
            self.alarms.up(code, f"workers {list(told.unconfirmed)} have not confirmed {generation}", bench.name)
        if entry.type in _REASONS:
            trigger = entry.data.get("trigger")
            reason = trigger["kind"] if trigger else _REASONS[entry.type]
            took_ms = told.confirmed_ms if not late else max((ms for _, ms in told.workers_ms), default=None)
            self.tally.note(bench.name, reason, change.swap_us, took_ms if told.complete else None)
            data = {
                "generation": generation,
                "swap_us": change.swap_us,
                "confirmed_ms": took_ms if told.complete else None,
                "workers_unconfirmed": list(told.unconfirmed),
                "workers_ms": told.workers_ms,
            }
            bench.conductor.perform([Record(kinds.CONFIRMED, "control", data)], clock.now_ns())
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
        expect: Expect = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Bring a version in as candidate; it is verified while this has long returned."""
        bench = self.view.bench(service)
        model = await self.models.named(service, version, endpoints, artifact, override)
        version = model.version
        event = ev.DeployAsked(version, model.endpoints, actor, replace, override, model.origin)
        change = await bench.conductor.change(event, expect, dry_run=dry_run)
        bench.watch(self.probes)
        known = bench.registry.targets.get(version)
        state = known.state.value if known and not (dry_run and change.changed) else State.VERIFYING.value
        return {
            "service": service,
            "version": version,
            "state": state,
            "generation": bench.registry.generation,
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
        expect: Expect = ANYTHING,
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
        expect: Expect = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Make `to` active; the version that was becomes the standby."""
        event = ev.SwitchAsked(to, actor, reason or "switched", kinds.SWITCHED, override)
        return await self._switch(service, event, expect, dry_run)

    async def _switch(self, service: str, event: ev.SwitchAsked, expect: Expect, dry_run: bool) -> Document:
        bench = self.view.bench(service)
        target = bench.registry.targets.get(event.to)
        checked = False
        if target is not None and target.state is State.UNREACHABLE and target.slot is not None:
            result = await self.probes.probe_now(service, target.slot, bench.machine.limits.gate_timeout_s)
            checked = result.ok
        event = ev.SwitchAsked(event.to, event.actor, event.reason, event.verb, event.override, checked)
        return await self._change(bench, event, f"{event.to} is active", expect, dry_run)

    async def rollback(
        self, *, service: str, actor: str, reason: str = "", expect: Expect = ANYTHING, dry_run: bool = False
    ) -> Document:
        """Make the standby active and quarantine the version that was."""
        bench = self.view.bench(service)
        left, to = bench.registry.active, bench.registry.standby
        told = f"rolled back from {left.version} to {to.version}; {left.version} is quarantined" if left and to else ""
        event = ev.RollbackAsked(reason or "rolled back by a person", actor)
        return await self._change(bench, event, told, expect, dry_run)

    async def retire(
        self,
        *,
        service: str,
        version: str,
        actor: str,
        cut: bool = False,
        expect: Expect = ANYTHING,
        dry_run: bool = False,
    ) -> Document:
        """Take a version out of its role; it drains, or is cut, and then gives its slot back."""
        bench = self.view.bench(service)
        told = f"{version} " + ("is cut" if cut else "drains") + " and gives its slot back"
        return await self._change(bench, ev.RetireAsked(version, actor, cut), told, expect, dry_run)

    async def set_endpoints(
        self, *, service: str, version: str, endpoints: list[str], actor: str, dry_run: bool = False
    ) -> Document:
        """Move the replicas of a version; the new ones are probed before they are used."""
        bench = self.view.bench(service)
        urls = tuple(endpoint.url for endpoint in parse_endpoints(endpoints))
        target = bench.registry.targets.get(version)
        if target is not None and target.state in WATCHED and target.endpoints != urls:
            await self._refuse_dead(bench, version, urls)
        event = ev.EndpointsAsked(version, urls, actor)
        return await self._change(bench, event, f"{version} is at {', '.join(urls)}", ANYTHING, dry_run)

    async def _refuse_dead(self, bench: Bench, version: str, urls: tuple[str, ...]) -> None:
        probe = bench.service.probe
        timeout_s = 2.0 if probe == "none" else probe.probe_timeout_s
        results = await self.probes.check(bench.name, urls, probe, timeout_s)
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
        return await self._change(self.view.bench(service), ev.FreezeAsked(actor, reason), "frozen", ANYTHING, dry_run)

    async def unfreeze(self, *, service: str, actor: str, reason: str = "", dry_run: bool = False) -> Document:
        """Enable automation again."""
        event = ev.UnfreezeAsked(actor, reason)
        return await self._change(self.view.bench(service), event, "automation is enabled", ANYTHING, dry_run)

    async def quarantine(
        self, *, service: str, version: str, actor: str, reason: str = "", dry_run: bool = False
    ) -> Document:
        """Block a version; it loses its role, unless it is active: then this is refused."""
        event = ev.QuarantineAsked(version, actor, reason)
        return await self._change(self.view.bench(service), event, f"{version} is quarantined", ANYTHING, dry_run)

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
        return await self._change(self.view.bench(service), event, told, ANYTHING, dry_run)

    async def decide(self, *, service: str, event: ev.ProposalDecided, told: str, dry_run: bool = False) -> Document:
        """Approve or deny a proposal; `told` says what is true then."""
        return await self._change(self.view.bench(service), event, told, ANYTHING, dry_run)

    async def _change(self, bench: Bench, event: ev.Event, told: str, expect: Expect, dry_run: bool) -> Document:
        change = await bench.conductor.change(event, expect, dry_run=dry_run)
        registry = bench.registry
        if dry_run or not change.changed:
            confirmation = Confirmation(tuple(self.crew.behind(bench.conductor.index, registry.generation)), 0.0)
            message = f"would be done: {told}" if change.changed else f"nothing to do: {told} already"
        else:
            bench.watch(self.probes)
            confirmation = await self._confirm(bench, change)
            message = told
        entry = change.entry
        awaits = _awaited(bench, event, entry)
        if awaits is not None:
            message = f"{'would wait' if dry_run else 'waits'} for approval: rollback-router approve {awaits}"
        return {
            "service": bench.name,
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


def _awaited(bench: Bench, event: ev.Event, entry: Entry | None) -> str | None:
    """Return the proposal that somebody has to approve before what was asked is done; None if it is done."""
    if entry is not None:
        return str(entry.data["proposal"]) if entry.type == kinds.PROPOSED else None
    known = bench.registry.proposals.about("promotion", event.to) if isinstance(event, ev.SwitchAsked) else None
    return known.id if known else None
