"""The addresses of one version in one worker: reports what was seen of them, and ejects by the sum over all workers.

Every sweep (100 ms), and at once after a fault that may be the last straw, the worker writes its own address rows
(shm/address_rows.py), reads those of all workers, decides (routing/ejection.py), and tells the balancer by the standing of each
address. With one address there is nothing to choose, and nothing is done.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from router.proxy.routing import ejection
from router.proxy.routing.ejection import AddressState
from router.proxy.routing.standing import Standing
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm.address_rows import NO_ROW, AddressRow, AddressRows, address_key
from router.shm.address_table import AddressTable
from router.shm.segment import Segment

log = logging.getLogger(__name__)


class ReplicaPool(Protocol):
    """One address of the version: its pool."""

    in_flight: int

    @property
    def name(self) -> str:
        """The endpoint's URL, and the address if the URL has a name."""

    @property
    def standing(self) -> Standing:
        """What was seen of it."""


class Replicas:
    """`version` and `incarnation` are those of the slot. `addresses` is set by `assign`."""

    def __init__(self, segment: Segment, worker: int, service: int, slot: int, version: str, incarnation: int) -> None:
        self._rows = AddressRows(segment, service, slot, worker)
        self._table = AddressTable(segment, service, slot)
        self._version = version
        self._incarnation = incarnation
        self._addresses: list[tuple[int, ReplicaPool, int]] = []
        self._seconds: deque[tuple[int, dict[int, tuple[int, int]]]] = deque(maxlen=ejection.PERIOD_S + 1)
        self._red: frozenset[int] = frozenset()
        self._sequence = -1

    def assign(self, addresses: Sequence[ReplicaPool]) -> None:
        """Use these addresses from now on, at most ADDRESSES_MAX. An address that stays keeps its row."""
        keyed = {address_key(self._incarnation, one.name): one for one in addresses[: at.ADDRESSES_MAX]}
        offsets = self._rows.claim(list(keyed))
        self._addresses = [(key, address, offsets[key]) for key, address in keyed.items()]

    def sweep(self, now_ns: int) -> None:
        """Write what was seen, and decide."""
        if len(self._addresses) > 1:
            if (sequence := self._table.sequence) != self._sequence and (red := self._table.red()) is not None:
                self._red, self._sequence = red, sequence
            self._decide(now_ns)

    def failed(self, standing: Standing, now_ns: int) -> None:
        """Decide at once if the faults of this address suffice: the next requests need not meet it."""
        enough = standing.in_a_row >= ejection.IN_A_ROW_MIN and standing.requests >= ejection.REQUESTS_MIN
        decided = standing.condemned or standing.ejected_until_s * 1e9 > now_ns
        if enough and not decided and len(self._addresses) > 1:
            self._decide(now_ns)

    def _decide(self, now_ns: int) -> None:
        rows = self._exchange_rows(now_ns)
        states = [self._state(key, rows.get(key, NO_ROW), now_ns) for key, _, _ in self._addresses]
        for number, (_, address, offset) in enumerate(self._addresses):
            state = states[number]
            others_good_ns = max(other.good_ns for other in states if other is not state)
            if (reason := ejection.reason(state, others_good_ns, now_ns)) is not None:
                states[number] = self._eject(address, offset, state, reason, now_ns)
        out = ejection.kept_out(states, now_ns)
        for state, (key, address, _) in zip(states, self._addresses, strict=True):
            bad = state.is_ejected(now_ns)
            address.standing.eject(state.until_ns / 1e9 if key in out else 0.0, condemned=bad and key not in out)

    def _eject(self, address: ReplicaPool, offset: int, state: AddressState, reason: str, now_ns: int) -> AddressState:
        until_ns, ejections = ejection.ejected(state, now_ns)
        self._rows.eject(offset, until_ns, ejections)
        seconds = (until_ns - now_ns) / SECOND_NS
        log.warning("version %s: %s is ejected for %g s: %s", self._version, address.name, seconds, reason)
        return AddressState(state.key, until_ns=until_ns, ejections=ejections, in_a_row=state.in_a_row)

    def _exchange_rows(self, now_ns: int) -> dict[int, AddressRow]:
        """Write the own rows, and return the sums of all workers by key."""
        for _, address, offset in self._addresses:
            standing = address.standing
            seen = AddressRow(
                attempts=standing.entered,
                faults=standing.faults,
                in_a_row=standing.in_a_row,
                requests=standing.requests,
                overdue=standing.overdue,
                bad_ns=int(standing.bad_s * 1e9),
                good_ns=int(standing.good_s * 1e9),
                open=address.in_flight,
            )
            standing.clear_counts()
            self._rows.write(offset, seen)
        rows = self._rows.read()
        for key, address, _ in self._addresses:
            if (row := rows.get(key)) is not None and row.good_ns > address.standing.bad_s * 1e9:
                address.standing.well_elsewhere()
        return rows

    def _state(self, key: int, row: AddressRow, now_ns: int) -> AddressState:
        attempts, faults = self._recent(key, row, now_ns)
        return AddressState(
            key,
            in_a_row=row.in_a_row,
            requests=row.requests,
            overdue=row.overdue,
            attempts=attempts,
            faults=faults,
            good_ns=row.good_ns,
            bad_ns=row.bad_ns,
            red=key in self._red,
            until_ns=row.until_ns,
            ejections=row.ejections,
        )

    def _recent(self, key: int, row: AddressRow, now_ns: int) -> tuple[int, int]:
        """Return (attempts, faults) of the last PERIOD_S."""
        second = now_ns // SECOND_NS
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, {}))
        self._seconds[-1][1].setdefault(key, (row.attempts, row.faults))
        since = next((counts for at_s, counts in self._seconds if at_s >= second - ejection.PERIOD_S), {})
        attempts, faults = since.get(key, (row.attempts, row.faults))
        return row.attempts - attempts, row.faults - faults
