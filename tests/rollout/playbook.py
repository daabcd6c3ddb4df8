"""A machine with its registry and slots that handles one event after another. Most tests of the rollout start from it."""

from __future__ import annotations

import json
from dataclasses import replace

from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Command, Record
from router.rollout.facts.versions import VersionFact
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.machine import Machine
from router.rollout.machine.registry import Registry
from router.rollout.model.commands import Effect
from router.rollout.model.events import Event, ProbeCompleted, VerdictReached
from router.rollout.model.route import first_generation
from router.rollout.placement.effects import effects
from router.rollout.placement.slot_table import SlotTable
from tests import entry_types

SECOND = 1_000_000_000
BOOT = first_generation(1) + 1
TRIGGER = {"kind": "hard_failure", "detail": "errors", "reason": "10 of 10 failed", "evidence_since_ns": SECOND}
AWAY = {"kind": "hard_failure", "detail": "unreachable", "reason": "refused", "evidence_since_ns": SECOND}


class Playbook:
    """`entries` is the journal; `tell` hands an event over, folds what it leads to and returns commands and effects."""

    def __init__(self, limits: RolloutLimits | None = None) -> None:
        self.registry = Registry("svc")
        self.machine = Machine(self.registry, limits or RolloutLimits())
        self.entries: list[Entry] = []
        self.table = SlotTable()
        self.now_ns = 10 * SECOND
        self.fold(Entry.of(entry_types.BOOT, "", "control", {"boot": 1}, 0.0, 0, 1))

    def fold(self, *entries: Entry) -> list[Effect]:
        """Fold the entries of one record; return its effects."""
        numbered = [
            Entry.of(**(json.loads(json.dumps(entry.as_dict())) | {"seq": seq}))
            for seq, entry in enumerate(entries, len(self.entries) + 1)
        ]
        before = self.registry.targets
        self.registry.become(self.registry.after(numbered))
        self.entries += numbered
        found = effects(before, self.registry, numbered, self.table)
        self.table = found.table
        return [*found.commands]

    def record(self, *records: Record) -> list[Effect]:
        return self.fold(*(self._entry(record) for record in records))

    def _entry(self, record: Record) -> Entry:
        fact = record.fact
        if isinstance(fact, VersionFact) and fact.publishes and fact.base is None:
            fact = replace(fact, base=self.registry.generation)
        return Entry(fact, "svc", record.actor, self.now_ns / SECOND, self.now_ns, 1)

    def seed(self, active: str = "v1", standby: str | None = "v2") -> Playbook:
        for version, state in ((active, "active"), (standby, "standby")):
            if version is not None:
                target = {"version": version, "endpoints": [f"http://{version}:1"]}
                data = {"generation": BOOT, "states": {version: state}, "target": target}
                self.record(Record.of(entry_types.SEEDED, "settings", data))
        return self

    def tell(self, event: Event, after_s: float = 0.0) -> list[Command | Effect]:
        """Return the commands of the machine, with the effects of its records after the first one."""
        self.now_ns += int(after_s * SECOND)
        commands = self.machine.handle(event, self.now_ns)
        records = [command for command in commands if isinstance(command, Record)]
        if not records:
            return [*commands]
        at = commands.index(records[0]) + 1
        return [*commands[:at], *self.record(*records), *commands[at:]]

    def slot(self, version: str) -> int | None:
        return self.table.slot_of(version)

    def probe(self, version: str, ok: bool = True, times: int = 1, refused: bool = False) -> list[Command | Effect]:
        """Return the commands of the last of `times` probes of every endpoint."""
        commands: list[Command | Effect] = []
        target = self.registry.targets[version]
        for _ in range(times):
            for url in target.endpoints:
                event = ProbeCompleted("svc", version, url, ok, refused, "" if ok else "bad", 1.0, self.now_ns, False)
                commands = self.tell(event)
        return commands

    def verdict(self, away: bool = False, after_s: float = 0.0) -> list[Command | Effect]:
        return self.tell(VerdictReached(AWAY if away else TRIGGER, away), after_s)

    def states(self) -> dict[str, str]:
        return {version: target.state.value for version, target in sorted(self.registry.targets.items())}
