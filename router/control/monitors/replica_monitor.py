"""The addresses of one service's versions as control sees them: probe results for the workers, faults that do not count.

Workers eject addresses by themselves (proxy/routing/replicas.py). Control adds two things in the address table: which probes
fail, and how many faults are *set aside*: those of an ejected address, from a minute before its ejection on. They are the
fault of a replica, not of the version, so the judge subtracts them (stats/window.py). If more addresses are bad than can be
kept out, the version itself is bad: nothing more is set aside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from router.control.monitors.alarms import Alarms
from router.rollout.model.addresses import KnownNames, addresses_of
from router.rollout.model.endpoint import Endpoint, parse_endpoint
from router.rollout.model.target import ROLES
from router.rollout.placement.slot_table import SlotHolder
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm.address_rows import NO_ROW, AddressRow, AddressRows, address_key, address_name
from router.shm.address_table import AddressEntry, AddressTable
from router.shm.segment import Segment

BEFORE_S: Final = 60
"""Faults of an address that are older when it is ejected count against the version."""
RED_MIN: Final = 2
"""Failed probes in a row that make an address red: one alone may be chance."""

Health = Callable[[int, str], int]
"""(slot, endpoint's URL or address_name) → failed probes in a row, -1 if it was not probed."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One address of a version. `name`: its URL, with the address if the URL has a name. `ejected_for_s`: 0 if it is not ejected.
    `kept_out`: it gets no requests; else too many others are ejected.
    """

    name: str
    row: AddressRow
    red: bool
    ejected_for_s: float
    recent_attempts: int = 0
    recent_faults: int = 0
    recent_s: float = 0.0
    """Length of the period of the two counts before, at most a minute."""


@dataclass(slots=True)
class _Slot:
    """What is known of the addresses of one slot. `history`: (second, rows by key)."""

    incarnation: int
    endpoints: tuple[str, ...]
    parsed: list[Endpoint]
    several: bool
    rows: AddressRows
    table: AddressTable
    entries: dict[int, AddressEntry]
    history: deque[tuple[int, Mapping[int, AddressRow]]]
    states: tuple[ReplicaState, ...] = ()


class ReplicaMonitor:
    """Service number `index` of the segment. `names` knows the addresses of names; `health` the results of probes."""

    def __init__(
        self, segment: Segment, index: int, service: str, alarms: Alarms, names: KnownNames, health: Health
    ) -> None:
        self._segment = segment
        self._index = index
        self._service = service
        self._alarms = alarms
        self._names = names
        self._health = health
        self._slots: dict[int, _Slot] = {}

    def set_aside(self, holder: SlotHolder, now_ns: int) -> int:
        """Read what the workers saw of a version's addresses, write the table; return the faults that do not count so far."""
        slot = holder.slot
        known = self._slot(holder)
        if not known.several:
            return 0
        rows, red = known.rows.read(), self._red(known, slot)
        ejected = {key for key, row in rows.items() if row.until_ns > now_ns}
        broken = len(ejected) > len(rows) // 2
        settled = self._settled(known, rows, now_ns)
        entries = {}
        for key, row in rows.items():
            entry = known.entries.get(key, AddressEntry())
            mark, aside = max(entry.mark, settled.get(key, 0)), entry.set_aside
            if key in ejected and not broken:
                mark, aside = row.faults, aside + max(0, row.faults - mark)
            health = at.HEALTH_RED if red.get(key) else at.HEALTH_GOOD if key in red else at.HEALTH_UNKNOWN
            entries[key] = AddressEntry(health, aside, mark)
        for key in red.keys() - rows.keys():
            entries[key] = AddressEntry(at.HEALTH_RED if red[key] else at.HEALTH_GOOD)
        known.entries = entries
        known.table.write(entries)
        known.states = self._states(known, rows, red, now_ns)
        return sum(entry.set_aside for entry in entries.values())

    def states(self, slot: int | None) -> tuple[ReplicaState, ...]:
        """Return the addresses of a slot with several; empty for another one."""
        known = self._slots.get(slot) if slot is not None else None
        return known.states if known is not None else ()

    def check(self, holders: Iterable[SlotHolder]) -> None:
        """Raise or end the alarm about ejected addresses of the versions that hold a slot."""
        found = [
            f"{holder.target.version}: {state.name} for {state.ejected_for_s:.0f} s more"
            for holder in holders
            if holder.target.state in ROLES
            for state in self.states(holder.slot)
            if state.ejected_for_s
        ]
        if found:
            self._alarms.up("endpoint_ejected", "; ".join(found), self._service)
        else:
            self._alarms.down("endpoint_ejected", self._service)

    def _slot(self, holder: SlotHolder) -> _Slot:
        target, slot = holder.target, holder.slot
        known = self._slots.get(slot)
        if known is None or known.incarnation != holder.incarnation or known.endpoints != target.endpoints:
            parsed = [parse_endpoint(url) for url in target.endpoints]
            table = AddressTable(self._segment, self._index, slot)
            known = self._slots[slot] = _Slot(
                holder.incarnation,
                target.endpoints,
                parsed,
                len(parsed) > 1 or any(endpoint.host and not _is_literal(endpoint.host) for endpoint in parsed),
                AddressRows(self._segment, self._index, slot),
                table,
                table.read() or {},
                deque(),
            )
        return known

    def _red(self, known: _Slot, slot: int) -> dict[int, bool]:
        """Return the keys of the addresses that were probed, and whether their probes fail."""
        found = {}
        for endpoint, address in addresses_of(known.parsed, self._names):
            name = address_name(endpoint.url, "" if address == endpoint.host else address)
            bad = self._health(slot, name)
            if bad >= 0:
                found[address_key(known.incarnation, name)] = bad >= RED_MIN
        return found

    def _settled(self, known: _Slot, rows: Mapping[int, AddressRow], now_ns: int) -> dict[int, int]:
        """Return the faults of each address that are older than BEFORE_S."""
        second, history = now_ns // SECOND_NS, known.history
        if not history or history[-1][0] != second:
            history.append((second, rows))
        while len(history) > 1 and history[1][0] <= second - BEFORE_S:
            history.popleft()
        if history[0][0] > second - BEFORE_S:
            return {}
        return {key: row.faults for key, row in history[0][1].items()}

    def _states(
        self, known: _Slot, rows: Mapping[int, AddressRow], red: Mapping[int, bool], now_ns: int
    ) -> tuple[ReplicaState, ...]:
        states = []
        began_s, before = known.history[0] if known.history else (now_ns // SECOND_NS, rows)
        recent_s = now_ns / SECOND_NS - began_s
        for endpoint, address in addresses_of(known.parsed, self._names):
            name = address_name(endpoint.url, "" if address == endpoint.host else address)
            key = address_key(known.incarnation, name)
            row, old = rows.get(key, NO_ROW), before.get(key, NO_ROW)
            left_s = max(0, row.until_ns - now_ns) / SECOND_NS
            attempts, faults = max(0, row.attempts - old.attempts), max(0, row.faults - old.faults)
            states.append(ReplicaState(name, row, red.get(key, False), left_s, attempts, faults, recent_s))
        return tuple(states)


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
