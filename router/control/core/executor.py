"""What the asker of a change believed to be true; the change is refused if it no longer is (RFC 9110 §13.1.1)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from router.control.core.workers import Workers
from router.control.monitors.alarms import Alarms
from router.control.monitors.broadcast import Broadcast
from router.control.store.journal import APPEND_TIMEOUT_S, Journal
from router.errors import OperatorError
from router.rollout.machine.machine import Machine
from router.rollout.model.commands import (
    CheckStandby,
    ClearAlarm,
    Command,
    CutSlot,
    FillSlot,
    PublishRoute,
    RaiseAlarm,
    Record,
)
from router.rollout.model.entry import SWITCHES, Entry, route_generation
from router.rollout.model.events import Event
from router.rollout.stats.histogram import BUCKETS
from router.runtime import clock
from router.runtime.failpoint import FailPoint
from router.shm import layout as at
from router.shm.pending_entry import PendingEntry
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.slots import SlotRecord, Slots
from router.shm.worker_stats import WorkerStats


@dataclass(frozen=True, slots=True)
class Preconditions:
    """None: whatever it is. `generation` comes from `If-Match` (else 412), `from_version`, the active one, from `from`
    (else 409).
    """

    generation: int | None = None
    from_version: str | None = None


log = logging.getLogger(__name__)

ANYTHING: Final = Preconditions()

HISTOGRAMS: Final = (at.L_FIRST_BYTE, at.L_DURATION, at.L_ABANDONED)


@dataclass(frozen=True, slots=True)
class ExecutorDeps:
    """What the conductors of all services share."""

    segment: Segment
    worker_stats: WorkerStats
    journal: Journal
    workers: Workers
    alarms: Alarms
    broadcast: Broadcast
    fail_point: FailPoint
    boot: int
    on_entry: Callable[[Entry], None] = lambda entry: None
    """Takes each fact for the offices."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a change. `stored_ns` is None if no route was published; `entry` is the fact, None without any."""

    entry: Entry | None
    decided_ns: int
    stored_ns: int | None

    @property
    def changed(self) -> bool:
        """Whether anything is another way than before."""
        return self.entry is not None

    @property
    def swap_us(self) -> int:
        """Decision → store; for a person's change the journal's fsync lies in between."""
        return 0 if self.stored_ns is None else max(0, (self.stored_ns - self.decided_ns) // 1000)


class CommandExecutor:
    """One service: number `index` of the wall. `on_check` starts the probe that the gate asks for."""

    def __init__(
        self, name: str, index: int, machine: Machine, desk: ExecutorDeps, on_check: Callable[[CheckStandby], None]
    ) -> None:
        self.name = name
        self.index = index
        self.machine = machine
        self.registry = machine.registry
        self.cell = RouteCell(desk.segment, index)
        self.slots = Slots(desk.segment, index)
        self.note = PendingEntry(desk.segment, index)
        self.unjournalled: set[int] = set()
        """Generations whose entry is not on the disk yet."""
        self._deps = desk
        self._on_check = on_check
        self._lock = asyncio.Lock()

    # -- a person's change
    async def change(self, event: Event, expect: Preconditions = ANYTHING, *, dry_run: bool = False) -> Change:
        """Make the change that `event` asks for; raise OperatorError, having changed nothing, if it is refused."""
        self._refuse_while_taking_over()
        self.refuse_stale(expect)
        before = self.registry.generation
        async with self._lock:
            decided_ns = clock.now_ns()
            commands = self._handled(event, decided_ns)
            if not commands:
                self._refuse_in_doubt()
                return Change(None, decided_ns, None)
            if self.registry.generation != before:
                raise self._lost_race()
            entries = self._entries(commands, decided_ns)
            if dry_run:
                return Change(entries[0], decided_ns, None)
            self._reserve(commands)
            numbers = await self._deps.journal.append(*entries)
            entries = [replace(entry, seq=seq) for entry, seq in zip(entries, numbers, strict=True)]
            try:
                self._refuse_overtaken(event, commands, before)
            except OperatorError:
                await self._deps.journal.strike_out(entries)  # before it is said that nothing was changed
                raise
            self._fold(entries)
            stored_ns = self._carry_out(commands, decided_ns)
            self._document(entries)
            return Change(entries[0], decided_ns, stored_ns)

    def _refuse_while_taking_over(self) -> None:
        """Workers of the router that was taken over claim by its last route for a moment: no change could be confirmed."""
        if self._deps.segment.words[at.H_TAKING_OVER]:
            detail = "this router is taking over from another one; nothing was changed, try again in a second"
            raise OperatorError(503, "taking_over", detail, exit_code=9)

    def _refuse_in_doubt(self) -> None:
        """It is so already, but a change in doubt may come true at the next start: that cannot be promised."""
        doubt = next((one for one in self._deps.journal.doubts if one.service == self.name), None)
        if doubt is not None:
            detail = (
                f"it is so now, but change {doubt.seq} ({doubt.type}) of {self.name} is in doubt, and may come true with the "
                "next start: ask again when it is decided, status shows it; nothing was changed"
            )
            raise OperatorError(503, "change_in_doubt", detail, exit_code=9, facts={"seq": doubt.seq})

    def refuse_stale(self, expect: Preconditions) -> None:
        """Raise OperatorError (412, 409) if what the asker believes is no longer so."""
        generation, active = self.registry.generation, self.registry.active
        if expect.generation is not None and expect.generation != generation:
            raise OperatorError(
                412,
                "generation_stale",
                f"{self.name} is at generation {generation}, not {expect.generation}: read it again and decide anew",
                exit_code=9,
                facts={"generation": generation},
            )
        version = active.version if active else None
        if expect.from_version is not None and expect.from_version != version:
            raise OperatorError(
                409,
                "from_mismatch",
                f"the active version of {self.name} is {version}, not {expect.from_version}",
                exit_code=9,
                facts={"generation": generation, "active": version},
            )

    def _lost_race(self) -> OperatorError:
        generation, active = self.registry.generation, self.registry.active
        return OperatorError(
            409,
            "lost_race",
            f"another change of {self.name} came first; {active.version if active else 'no version'} is active now, "
            f"generation {generation}: look, and decide anew",
            exit_code=9,
            facts={"generation": generation, "active": active.version if active else None},
        )

    def _handled(self, event: Event, now_ns: int) -> list[Command]:
        try:
            return self.machine.handle(event, now_ns)
        except OperatorError as error:
            if error.code == "slots_busy":
                raise self._slots_busy(error, now_ns) from None
            raise

    def _slots_busy(self, error: OperatorError, now_ns: int) -> OperatorError:
        held = [
            {
                "version": target.version,
                "state": target.state.value,
                "in_flight": self._deps.worker_stats.slot_in_flight(self.index, target.slot or 0),
                "age_s": round((now_ns - target.since_ns) / 1e9, 1),
            }
            for target in self.registry.holders()
        ]
        told = ", ".join(
            f"{item['version']} ({item['state']}, {item['in_flight']} in flight, {item['age_s']} s)" for item in held
        )
        return OperatorError(
            409,
            error.code,
            f"{error.detail}: {told}; free one with: rollback-router retire VERSION --cut",
            exit_code=error.exit_code,
            facts={"held": held},
        )

    def _refuse_overtaken(self, event: Event, commands: list[Command], generation: int) -> None:
        """Raise OperatorError unless the same event would lead to the same change now, after the wait for the disk."""
        if self.registry.generation != generation:
            raise self._lost_race()
        if _comparable(self.machine.handle(event, clock.now_ns())) != _comparable(commands):
            raise self._lost_race()

    async def append_and_apply(self, *facts: Record | Entry, timeout_s: float = APPEND_TIMEOUT_S) -> list[Entry]:
        """Journal facts, fold and return them; raise JournalUnavailable if the disk does not take them, or not in time."""
        entries = [fact if isinstance(fact, Entry) else self._entry(fact, clock.now_ns()) for fact in facts]
        numbers = await self._deps.journal.append(*entries, timeout_s=timeout_s)
        entries = [replace(entry, seq=seq) for entry, seq in zip(entries, numbers, strict=True)]
        self._fold(entries)
        self._document(entries)
        return entries

    # -- automation
    def perform(
        self, commands: list[Command], now_ns: int, on_disk: Callable[[int], None] = lambda seq: None
    ) -> Change:
        """Carry out what needs no person: at once, and journal it as soon as the disk takes it; `on_disk` is told the number
        of each fact then. `now_ns` is when the facts were seen that led to it.
        """
        decided_ns = clock.now_ns()
        entries = self._entries(commands, now_ns)
        self._reserve(commands)
        self._fold(entries)
        for entry in entries:
            if (generation := route_generation(entry)) is not None:  # until it is journalled, it outlives us there
                self.note.write(generation, orjson.dumps(entry))
        stored_ns = self._carry_out(commands, decided_ns)
        for entry in entries:
            generation = route_generation(entry) or 0
            self.unjournalled.add(generation)
            if not self._deps.journal.submit(entry, self._journalled(generation, on_disk)):
                self._deps.alarms.up("journal_overflow", f"{entry.type} of {self.name} is not kept", self.name)
        self._document(entries)
        return Change(entries[0] if entries else None, decided_ns, stored_ns)

    def _journalled(self, generation: int, on_disk: Callable[[int], None]) -> Callable[[int], None]:
        def written(seq: int) -> None:
            self.unjournalled.discard(generation)
            on_disk(seq)

        return written

    # -- both
    def _entries(self, commands: list[Command], now_ns: int) -> list[Entry]:
        return [self._entry(command, now_ns) for command in commands if isinstance(command, Record)]

    def _entry(self, record: Record, now_ns: int) -> Entry:
        # Through JSON and back: what is folded now is to the bit what a restart will read.
        data: dict[str, Any] = orjson.loads(orjson.dumps(record.data))
        entry = Entry(record.type, self.name, record.actor, data, clock.wall_s(), now_ns, self._deps.boot)
        if route_generation(entry) is not None:
            data.setdefault("base", self.registry.generation)
        return entry

    def _reserve(self, commands: list[Command]) -> None:
        """No generation is issued twice, even if its route is never stored."""
        issued = [command.route.generation for command in commands if isinstance(command, PublishRoute)]
        self.machine.issued = max([self.machine.issued, *issued])

    def _fold(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.registry.apply(entry)

    def _document(self, entries: list[Entry]) -> None:
        """Log and broadcast facts. After the store: a log that nobody reads must not hold a rollback up."""
        for entry in entries:
            told = {key: value for key, value in entry.data.items() if key not in ("trigger", "baseline", "evidence")}
            log.log(
                logging.WARNING if entry.type in SWITCHES else logging.INFO,
                "%s service=%s actor=%s %s",
                entry.type,
                self.name,
                entry.actor,
                orjson.dumps(told).decode(),
            )
            self._deps.broadcast.publish(described(entry))
            self._deps.on_entry(entry)

    def _carry_out(self, commands: list[Command], decided_ns: int) -> int | None:
        stored_ns = None
        for command in commands:
            match command:
                case FillSlot():
                    self.fill(command)
                case PublishRoute():
                    self._deps.fail_point.hit("store.before")
                    stored_ns = self.cell.publish(command.route, decided_ns)
                    self._deps.fail_point.hit("store.after")
                    self._deps.workers.wake()
                case CutSlot():
                    self.slots.cut(command.slot, command.generation)
                    self._deps.workers.wake()
                case CheckStandby():
                    self._on_check(command)
                case RaiseAlarm():
                    self._deps.alarms.up(command.code, command.detail, self.name)
                case ClearAlarm():
                    self._deps.alarms.down(command.code, self.name)
                case Record():
                    pass
        return stored_ns

    def fill(self, command: FillSlot) -> None:
        """Write a slot's contents; the new version counts from the workers' present counts of the slot."""
        if command.fresh:
            self.machine.streaks.forget(command.slot)
            words, row = self._deps.segment.words, self._deps.segment.layout.base(self.index, command.slot)
            worker_stats = self._deps.worker_stats
            for offset, count in enumerate(worker_stats.slot_scalars(self.index, command.slot)):
                words[row + offset] = count
            for which in HISTOGRAMS:
                for bucket, count in enumerate(worker_stats.slot_histogram(self.index, command.slot, which)):
                    words[row + which + bucket] = count
        content = SlotRecord(command.incarnation, command.version, command.endpoints)
        self.slots.write(command.slot, content)

    def scalars(self, slot: int) -> list[int]:
        """Return the `L_SCALARS` counters of a slot since it was filled; gauges as they are."""
        counts = self._deps.worker_stats.slot_scalars(self.index, slot)
        row, words = self._deps.segment.layout.base(self.index, slot), self._deps.segment.words
        return [count if offset in _GAUGES else count - words[row + offset] for offset, count in enumerate(counts)]

    def histogram(self, slot: int, which: int) -> tuple[int, ...]:
        """Return one histogram (`L_FIRST_BYTE`, …) of a slot since it was filled."""
        counts = self._deps.worker_stats.slot_histogram(self.index, slot, which)
        row = self._deps.segment.layout.base(self.index, slot) + which
        base = self._deps.segment.words[row : row + BUCKETS].tolist()
        return tuple(now - before for now, before in zip(counts, base, strict=True))

    def drained(self) -> frozenset[int]:
        """Return the slots without a role on which nothing is in flight and nothing can be claimed any more.

        First who has acknowledged, then what is in flight: a claim made before the acknowledgement is counted by then.
        """
        found = []
        for target in self.registry.holders():
            if target.role != "draining" or target.slot is None:
                continue
            if self._deps.workers.unconfirmed(self.index, target.roleless_generation):
                continue
            if self._deps.worker_stats.slot_in_flight(self.index, target.slot) == 0:
                found.append(target.slot)
        return frozenset(found)


_GAUGES: Final = frozenset(
    {at.L_WAITING, at.L_WAITING_LONG, at.L_OLDEST_WAITING_NS, at.L_LAST_BEGUN_NS, at.L_GAP_MAX_US, at.L_TUNNELS}
)


def _comparable(commands: list[Command]) -> list[Any]:
    """What has to be the same for a change to be the same change: all but the number of its route."""
    result: list[Any] = []
    for command in commands:
        if isinstance(command, Record):
            members = {
                key: value for key, value in command.data.items() if key not in ("generation", "base", "incident")
            }
            members["quarantine"] = sorted(command.data.get("quarantine", {}))
            result.append((command.type, members))
        elif isinstance(command, PublishRoute):
            result.append(command.route.named())
    return result


def described(entry: Entry) -> dict[str, Any]:
    """Return an entry as the journal's route and the event stream show it; `seq` is null until it is on the disk."""
    return {
        "seq": entry.seq or None,
        "at": clock.iso(entry.at),
        "monotonic_ns": entry.monotonic_ns,
        "boot": entry.boot,
        "service": entry.service or None,
        "type": entry.type,
        "actor": entry.actor,
        "data": entry.data,
    }
