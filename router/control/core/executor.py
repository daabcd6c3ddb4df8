"""Carries out the commands of one service's state machine in an order that survives a crash.

    an operator's change:  preconditions → machine → journal.append (durable, machine again, apply)
    an automatic change:   machine → journal.urgent (apply, durable)

`apply` is the same for each record: fold → effects (placement/effects.py) → fill, store, cut → wake workers. A record is folded
on a copy first, so one that the fold refuses is neither journalled nor applied. The journal decides the order
(store/records/local_journal.py): an operator is answered only after the record is on the disk, and an automatic rollback never
waits for the disk.

Why: docs/decisions.md#store-and-journal-two-orders.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson

from router.control.core import overtaken
from router.control.core.workers import Workers
from router.control.monitors.alarms import Alarms
from router.control.monitors.broadcast import Broadcast
from router.control.placement.held_slots import HeldSlots
from router.control.placement.slot_counters import SlotCounters
from router.control.store.header_files import HeaderFiles
from router.control.store.records.journal import APPEND_TIMEOUT_S, Applied, Journal, JournalRecord
from router.control.store.records.request_key import RequestKey
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.fact import Document, Fact, Scope
from router.rollout.facts.record import Command, Record
from router.rollout.facts.switches import SwitchFact
from router.rollout.facts.versions import Deployed
from router.rollout.incidents.timeline_text import describe
from router.rollout.machine.machine import Machine
from router.rollout.machine.registry import Registry
from router.rollout.model.commands import CheckStandby, ClearAlarm, CutSlot, FillSlot, PublishRoute, RaiseAlarm
from router.rollout.model.events import Event
from router.rollout.model.route import SLOTS, generation_text
from router.rollout.placement.effects import CUT_FOR_SLOT, Effects, adopted, effects, first
from router.rollout.placement.slot_table import SlotTable
from router.runtime import clock
from router.runtime.failpoint import FailPoint
from router.runtime.text.json_log import members
from router.shm import layout as at
from router.shm.pending_entry import PendingEntry
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preconditions:
    """The conditions of a change (RFC 9110 §13.1.1); None: no condition.

    `generation` is that of `If-Match` (else 412), `from_version` the active version that `from` names (else 409).
    """

    generation: int | None = None
    from_version: str | None = None


ANYTHING: Final = Preconditions()


@dataclass(frozen=True, slots=True)
class ExecutorDeps:
    """The dependencies that the executors of all services share."""

    segment: Segment
    worker_stats: WorkerStats
    journal: Journal
    workers: Workers
    alarms: Alarms
    broadcast: Broadcast
    fail_point: FailPoint
    boot: int
    header_files: HeaderFiles = field(default_factory=HeaderFiles)
    on_entry: Callable[[Entry], None] = lambda entry: None
    """Takes each entry for the add-ons."""


@dataclass(frozen=True, slots=True)
class Change:
    """The result of a change. `entry` is None if nothing changed, `stored_ns` is None if no route was published.

    `kept` is False if the journal's queue was full: the change is in effect, and a restart will not know it.
    """

    entry: Entry | None
    decided_ns: int
    stored_ns: int | None
    kept: bool = True

    @property
    def changed(self) -> bool:
        """Whether there is a journal entry, that is, a change."""
        return self.entry is not None

    @property
    def swap_us(self) -> int:
        """Microseconds from decision to store; for an operator's change this includes the journal's fsync."""
        return 0 if self.stored_ns is None else max(0, (self.stored_ns - self.decided_ns) // 1000)


class CommandExecutor:
    """One service: place `index` of the shared segment, since `since_ns` (monotonic; 0: since the start of the router).

    `on_check` starts the probe that the gate needs.
    """

    def __init__(
        self,
        name: str,
        index: int,
        machine: Machine,
        deps: ExecutorDeps,
        on_check: Callable[[CheckStandby], None],
        since_ns: int = 0,
    ) -> None:
        self.name = name
        self.index = index
        self.since_ns = since_ns
        self.machine = machine
        machine.count_by(deps.journal.generation_step)
        self.registry = machine.registry
        self.cell = RouteCell(deps.segment, index)
        self.counters = SlotCounters(deps.segment, deps.worker_stats, index)
        self.held = HeldSlots(
            *(name, index, machine.registry, self.counters, deps.segment, deps.worker_stats),
            *(deps.workers.unconfirmed, deps.header_files),
        )
        self.pending_entry = PendingEntry(deps.segment, index)
        self.unjournalled: set[int] = set()
        """Generations whose entry is not on the disk yet."""
        self._last_published: Entry | None = None
        self._tried: tuple[int, list[Fact], Registry] | None = None
        """`changes` of the registry when facts were tried, these facts, and the registry after them."""
        self._waits = 0
        self._meanwhile: dict[int, list[Entry]] = {}
        """By number of the wait: what is applied while a record waits for the disk, which then has it after the record."""
        self._deps = deps
        self._on_check = on_check
        self._lock = asyncio.Lock()
        self._closed = False

    async def close(self) -> None:
        """Write nothing more to the place in shared memory: another service may get it. A change under way ends before."""
        async with self._lock:
            self._closed = True

    # -- an operator's change
    async def change(
        self,
        event: Event,
        preconditions: Preconditions = ANYTHING,
        *,
        dry_run: bool = False,
        key: RequestKey | None = None,
    ) -> Change:
        """Make the change that `event` requests; raise Refusal if it is refused, with nothing changed. `key` is that of the
        request.

        1. The machine decides by the present state.
        2. The entries go to the disk. This takes milliseconds, and a verdict does not wait for them.
        3. The machine decides the same event again. If the commands differ, something has overtaken the change: its entries
           are struck out, and the change is refused. The same if the journal, which has the change before what came meanwhile,
           would mean another state than memory, which gets it after.
        4. The entries are applied and the commands carried out.
        """
        self._refuse_while_taking_over()
        self.refuse_stale(preconditions)
        before = self.registry.generation
        async with self._lock:
            if self._closed:
                raise Refusal(RefusalCode.SERVICE_UNKNOWN, f"service {self.name} was removed; nothing was changed")
            decided_ns = clock.now_ns()
            commands = self.machine.handle(event, decided_ns)
            if not commands:
                self._deps.journal.refuse_in_doubt(self.name)
                return Change(None, decided_ns, None)
            if self.registry.generation != before:
                raise self._lost_race(type(event).__name__, clock.now_ns() - decided_ns)
            entries = self._entries(commands, decided_ns)
            self._refuse_slots_busy(entries, decided_ns)
            if dry_run:
                self.refuse_illegal(entries)
                return Change(entries[0], decided_ns, None)
            self._reserve(entries)
            applied = await self._append(
                JournalRecord(tuple(entries), decided_ns),
                partial(self._refuse_overtaken, event, commands, before, decided_ns),
                key=key,
            )
            self._signal(commands)
            self._announce(applied.entries)
            return Change(applied.entries[0], decided_ns, applied.stored_ns)

    def _refuse_while_taking_over(self) -> None:
        """Raise Refusal during a take-over: the old workers still claim by the old route, and cannot confirm."""
        if self._deps.segment.words[at.H_TAKING_OVER]:
            detail = "this router is taking over from another one; nothing was changed, try again in a second"
            raise Refusal(RefusalCode.TAKING_OVER, detail)

    def refuse_stale(self, preconditions: Preconditions) -> None:
        """Raise Refusal if a precondition does not hold."""
        generation, active = self.registry.generation, self.registry.active
        if preconditions.generation is not None and preconditions.generation != generation:
            raise Refusal(
                RefusalCode.GENERATION_STALE,
                f"{self.name} is at generation {generation_text(generation)}, not {generation_text(preconditions.generation)}: "
                "read it again, then decide again",
                facts={"generation": generation},
            )
        version = active.version if active else None
        if preconditions.from_version is not None and preconditions.from_version != version:
            raise Refusal(
                RefusalCode.FROM_MISMATCH,
                f"the active version of {self.name} is {version}, not {preconditions.from_version}",
                facts={"generation": generation, "active": version},
            )

    def _lost_race(self, what: str, waited_ns: int, difference: str = "") -> Refusal:
        refusal = overtaken.lost_race(self.registry, self._last_published, waited_ns, difference)
        log.warning("%s is refused: %s: %s", what, refusal.code, refusal.detail)
        return refusal

    def _refuse_slots_busy(self, entries: list[Entry], now_ns: int) -> None:
        """Raise Refusal if a version that is deployed would need a slot that another one still drains in."""
        deployed = (entry.fact.target for entry in entries if isinstance(entry.fact, Deployed))
        placed = next((target.version for target in deployed if target is not None), None)
        if placed is None or placed in self.held.table.held or self.held.table.free_slot() is not None:
            return
        holders = [
            {
                "version": holder.target.version,
                "state": holder.target.state.value,
                "in_flight": self._deps.worker_stats.slot_in_flight(self.index, holder.slot),
                "age_s": round((now_ns - holder.target.since_ns) / 1e9, 1),
            }
            for holder in self.held.holders()
        ]
        described_holders = ", ".join(
            f"{item['version']} ({item['state']}, {item['in_flight']} in flight, {item['age_s']} s)" for item in holders
        )
        raise Refusal(
            RefusalCode.SLOTS_BUSY,
            f"all {SLOTS} slots are held: {described_holders}; retire one of them",
            facts={"held": holders},
        )

    def _refuse_overtaken(self, event: Event, commands: list[Command], generation: int, since_ns: int) -> None:
        """Raise Refusal unless the event still leads to the same change after the wait for the disk since `since_ns`."""
        now_ns = clock.now_ns()
        if self.registry.generation != generation:
            raise self._lost_race(type(event).__name__, now_ns - since_ns)
        now, before = overtaken.comparable(self.machine.handle(event, now_ns)), overtaken.comparable(commands)
        if now != before:
            raise self._lost_race(type(event).__name__, now_ns - since_ns, overtaken.difference(before, now))

    async def _append(
        self,
        record: JournalRecord,
        refuse_overtaken: Callable[[], None] = lambda: None,
        *,
        key: RequestKey | None = None,
        timeout_s: float = APPEND_TIMEOUT_S,
    ) -> Applied:
        """Journal and apply a record; raise Refusal, with the record struck out, if something has overtaken it.

        Memory applies the record after what came while it waited for the disk, and the journal has it before. So both orders
        must lead to one state: a start must not find another one, or none.
        """
        decided_on, meanwhile = self.registry.snapshot(), list[Entry]()
        number = self._waits = self._waits + 1
        self._meanwhile[number] = meanwhile

        def refuse() -> None:
            refuse_overtaken()
            if meanwhile and not overtaken.same_in_both_orders(decided_on, record.entries, meanwhile):
                waited_ns = clock.now_ns() - record.decided_ns
                raise self._lost_race(record.entries[0].type, waited_ns, f"{meanwhile[-1].type} came first")

        try:
            return await self._deps.journal.append(self, record, key=key, timeout_s=timeout_s, refuse_overtaken=refuse)
        finally:
            del self._meanwhile[number]

    async def append_and_apply(
        self, *records: Record | Entry, timeout_s: float = APPEND_TIMEOUT_S, publish: bool = True
    ) -> list[Entry]:
        """Journal entries, apply and return them; raise JournalUnavailable if the disk does not take them in time.

        Raise Refusal (`lost_race`) if what came meanwhile does not fit them. Without `publish` they change the registry alone:
        shared memory has their effects already, or gets them later.
        """
        now_ns = clock.now_ns()
        entries = [item if isinstance(item, Entry) else self._entry(item, now_ns) for item in records]
        record = JournalRecord(tuple(entries), now_ns, publish)
        applied = await self._append(record, timeout_s=timeout_s)
        self._announce(applied.entries)
        return list(applied.entries)

    # -- automation
    def perform(
        self,
        commands: list[Command],
        now_ns: int,
        on_disk: Callable[[int], None] = lambda seq: None,
        *,
        publish: bool = True,
    ) -> Change:
        """Carry out commands that no operator waits for, at once; journal them as soon as the disk takes the entries.

        `on_disk` is called with the number of each entry then. `now_ns` is when the cause was observed.
        """
        decided_ns = clock.now_ns()
        if self._closed:  # a task that began before the service was removed
            return Change(None, decided_ns, None)
        entries = self._entries(commands, now_ns)
        if not entries:
            self._signal(commands)
            return Change(None, decided_ns, None)
        self._reserve(entries)
        generations = {route_generation(entry) or 0 for entry in entries}

        def durable(numbers: Sequence[int]) -> None:
            self.unjournalled -= generations
            for seq in numbers:
                on_disk(seq)

        own = all(entry.fact.SCOPE is Scope.ROUTER for entry in entries)
        write = self._deps.journal.note if own else self._deps.journal.urgent
        applied = write(self, JournalRecord(tuple(entries), decided_ns, publish), durable)
        self.unjournalled |= generations
        self._signal(commands)
        if not applied.kept:
            self._deps.alarms.up("journal_overflow", f"{entries[0].type} of {self.name} is not kept", self.name)
        self._announce(applied.entries)
        return Change(applied.entries[0], decided_ns, applied.stored_ns, applied.kept)

    # -- the steps of both
    def _entries(self, commands: list[Command], now_ns: int) -> list[Entry]:
        return [self._entry(command, now_ns) for command in commands if isinstance(command, Record)]

    def _entry(self, record: Record, now_ns: int) -> Entry:
        # Through JSON and back: the entry that is applied now equals, to the bit, the entry that a restart will read.
        data = orjson.dumps(record.fact.to_data())
        return Entry.of_json(record.fact.type, self.name, record.actor, data, clock.wall_s(), now_ns, self._deps.boot)

    def _reserve(self, entries: list[Entry]) -> None:
        self.machine.reserve(*(route_generation(entry) or 0 for entry in entries))

    # -- following the journal
    @property
    def generation(self) -> int:
        """The generation of the present route."""
        return self.registry.generation

    def refuse_illegal(self, entries: Sequence[Entry]) -> None:
        """Raise InternalError if the fold refuses the entries now; change nothing."""
        self._tried = self.registry.changes, [entry.fact for entry in entries], self.registry.after(entries)

    def _after(self, entries: Sequence[Entry]) -> Registry:
        """Return the registry after `entries`: what `refuse_illegal` has found, if nothing has changed since."""
        tried, self._tried = self._tried, None
        if tried is not None and tried[0] == self.registry.changes and len(tried[1]) == len(entries):
            if all(fact is entry.fact for fact, entry in zip(tried[1], entries, strict=True)):
                return tried[2]
        return self.registry.after(entries)

    def apply(self, record: JournalRecord, before_effects: Callable[[], None] = lambda: None) -> int | None:
        """Fold a record, then carry out its effects; return when its route was stored, None without one.

        `before_effects` is called between the two. Raise InternalError, with nothing changed, if the fold refuses the record.
        """
        before = self.registry.targets
        self.registry.become(self._after(record.entries))
        for meanwhile in self._meanwhile.values():
            meanwhile += record.entries
        for entry in record.entries:
            if route_generation(entry) is not None:
                self._last_published = entry
        before_effects()
        if not record.publish:
            return None
        return self._carry_out(effects(before, self.registry, record.entries, self.held.table), record.decided_ns)

    def _announce(self, entries: Sequence[Entry]) -> None:
        """Log and broadcast entries. After the store: a blocked log must not delay a rollback."""
        for entry in entries:
            data = entry.fact.to_data()
            logged = {key: value for key, value in data.items() if key not in ("trigger", "baseline", "evidence")}
            log.log(
                logging.WARNING if isinstance(entry.fact, SwitchFact) else logging.INFO,
                "%s service=%s actor=%s %s",
                entry.type,
                self.name,
                entry.actor,
                orjson.dumps(logged).decode(),
                extra=members(event=entry.type, service=self.name, actor=entry.actor, data=logged),
            )
            self._deps.broadcast.publish(described(entry, data))
            self._deps.on_entry(entry)

    def _carry_out(self, found: Effects, decided_ns: int) -> int | None:
        """Carry out effects in their order. Memory gets the slot table after the slots are filled, before a route names them."""
        stored_ns = None
        for command in found.commands:
            match command:
                case FillSlot():
                    self.held.fill(command)
                    if command.fresh:
                        self.machine.streaks.reset(command.version)
                case PublishRoute():
                    self._hold(found.table)
                    self._deps.fail_point.hit("store.before")
                    stored_ns = self.cell.publish(command.route, decided_ns)
                    self._deps.fail_point.hit("store.after")
                    self._deps.workers.wake()
                case CutSlot():
                    self.held.slots.cut(command.slot, command.generation)
                    self._deps.workers.wake()
                case RaiseAlarm():
                    self._deps.alarms.up(command.code, command.detail, self.name)
        self._hold(found.table)
        return stored_ns

    def _hold(self, table: SlotTable) -> None:
        """Make `table` the slot table; versions that hold no slot any more are probed anew if they come back."""
        if table is self.held.table:
            return
        for version in self.held.table.held.keys() - table.held.keys():
            self.machine.streaks.reset(version)
        self.held.hold(table)
        if table.free_slot() is not None:
            self._deps.alarms.down(CUT_FOR_SLOT, self.name)

    def _signal(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case CheckStandby():
                    self._on_check(command)
                case RaiseAlarm():
                    self._deps.alarms.up(command.code, command.detail, self.name)
                case ClearAlarm():
                    self._deps.alarms.down(command.code, self.name)
                case Record():
                    pass

    def drained(self) -> frozenset[str]:
        """Return the versions that have ended their last request; none during a take-over, as the old router may have some."""
        return frozenset() if self._deps.segment.words[at.H_TAKING_OVER] else self.held.drained()

    def publish(self) -> None:
        """Fill the slots of all versions that need one, and publish the present route: the first one in this memory."""
        self._carry_out(first(self.registry, self.held.table), clock.now_ns())

    def adopt_slots(self) -> None:
        """Take over the slots that a previous control has filled: those of versions that hold none any more get free."""
        self.held.reload()
        self._carry_out(adopted(self.registry, self.held.table), clock.now_ns())
        self.held.repair()


def described(entry: Entry, data: Document | None = None) -> dict[str, Any]:
    """Return an entry as the journal's route and the event stream show it; `seq` is null until it is on the disk.

    `data` are the members of its fact, if the caller has them.
    """
    return {
        "seq": entry.seq or None,
        "at": clock.iso(entry.at),
        "monotonic_ns": entry.monotonic_ns,
        "boot": entry.boot,
        "service": entry.service or None,
        "type": entry.type,
        "actor": entry.actor,
        "data": data if data is not None else entry.fact.to_data(),
        "text": describe(entry).text,
    }
