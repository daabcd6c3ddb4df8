"""Who was affected in a period: the union of the epochs of one slot, which are kept for 15 minutes (breadth.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from router.rollout.stats.breadth import EMPTY_SET, Distinct, Epoch, union
from router.rollout.units import SECOND_NS

EPOCH_NS: Final = 10 * SECOND_NS
EPOCHS_KEPT: Final = 90
KNOWN_GOOD_WEIGHT: Final = 5
"""A failing request that was useful before counts as this many distinct requests."""


@dataclass(frozen=True, slots=True)
class AffectedPeriod:
    """The requests and clients of a period, in whole epochs; `known` is False without an epoch in it."""

    known: bool = False
    known_good: int = 0
    fault_requests: Distinct = EMPTY_SET
    fault_clients: Distinct = EMPTY_SET
    lost_requests: Distinct = EMPTY_SET
    lost_clients: Distinct = EMPTY_SET
    useful_clients: Distinct = EMPTY_SET
    unaffected_clients: Distinct = EMPTY_SET

    @property
    def breadth(self) -> int:
        """Distinct failing requests; one that was useful before counts as KNOWN_GOOD_WEIGHT."""
        return self.fault_requests.count + (KNOWN_GOOD_WEIGHT - 1) * self.known_good


class EpochHistory:
    """The epochs of one incarnation of a slot."""

    def __init__(self) -> None:
        self._epochs: dict[int, Epoch] = {}

    def clear(self) -> None:
        """Forget all epochs."""
        self._epochs.clear()

    def add(self, epochs: Iterable[Epoch]) -> None:
        """Add the epochs of a sample. A later sample of an epoch replaces the earlier one."""
        for epoch in epochs:
            self._epochs[epoch.number] = epoch
        if len(self._epochs) > EPOCHS_KEPT:
            for number in sorted(self._epochs)[:-EPOCHS_KEPT]:
                del self._epochs[number]

    def of_one_client(self, since_ns: int, others_min: int) -> frozenset[int]:
        """Return the epochs that end after `since_ns` whose faults are all of one client that got nothing useful in them,
        while at least `others_min` other clients did.
        """
        first = since_ns // EPOCH_NS
        return frozenset(
            number
            for number, epoch in self._epochs.items()
            if number >= first
            and epoch.fault_clients.count == 1
            and not epoch.fault_clients.sketch & epoch.useful_clients.sketch
            and epoch.useful_clients.without(epoch.fault_clients) >= others_min
        )

    def since(self, since_ns: int) -> AffectedPeriod:
        """Return the union of the epochs that end after `since_ns`."""
        first = since_ns // EPOCH_NS
        found = [epoch for number, epoch in self._epochs.items() if number >= first]
        if not found:
            return AffectedPeriod()
        return AffectedPeriod(
            known=True,
            known_good=max(epoch.known_good for epoch in found),
            fault_requests=union(epoch.fault_requests for epoch in found),
            fault_clients=union(epoch.fault_clients for epoch in found),
            lost_requests=union(epoch.lost_requests for epoch in found),
            lost_clients=union(epoch.lost_clients for epoch in found),
            useful_clients=union(epoch.useful_clients for epoch in found),
            unaffected_clients=union(epoch.unaffected_clients for epoch in found),
        )
