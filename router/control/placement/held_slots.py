"""The slots of one service in this router's memory: which version holds which, their contents, which have drained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from router.control.placement.slot_counters import SlotCounters
from router.control.store.header_files import Fields, HeaderFiles
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.machine.registry import Registry
from router.rollout.model.commands import FillSlot
from router.rollout.model.rewrite import Rewrite
from router.rollout.model.route import SLOTS
from router.rollout.model.target import Target
from router.rollout.placement.slot_table import SlotHolder, SlotTable
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.slots import SlotRecord, Slots
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)


class HeldSlots:
    """Place `index` of the shared segment. `table` is that of memory: a previous control may have written it.

    `unconfirmed` returns the live workers that have not acknowledged a generation of a service.
    """

    def __init__(
        self,
        name: str,
        index: int,
        registry: Registry,
        counters: SlotCounters,
        segment: Segment,
        worker_stats: WorkerStats,
        unconfirmed: Callable[[int, int], list[int]],
        header_files: HeaderFiles,
    ) -> None:
        self.slots = Slots(segment, index)
        self.table = self.slots.read_table(registry.targets)
        self._name = name
        self._index = index
        self._registry = registry
        self._counters = counters
        self._worker_stats = worker_stats
        self._unconfirmed = unconfirmed
        self._header_files = header_files
        self._holders: tuple[SlotTable, Mapping[str, Target], tuple[SlotHolder, ...]] = self.table, {}, ()

    # -- reading
    def slot_of(self, target: Target | None) -> int | None:
        """Return the slot of a version; None if it holds none, or for None."""
        return self.table.slot_of(target.version) if target is not None else None

    def holder_in(self, slot: int) -> SlotHolder | None:
        """Return the version that holds `slot`."""
        return next((holder for holder in self.holders() if holder.slot == slot), None)

    def holders(self) -> tuple[SlotHolder, ...]:
        """Return the versions that hold a slot, by slot."""
        known, targets = self._holders, self._registry.targets
        if known[0] is not self.table or known[1] is not targets:  # every tick asks several times
            known = self._holders = self.table, targets, self.table.holders(targets)
        return known[2]

    def last_place(self, version: str) -> tuple[int, int] | None:
        """Return (slot, incarnation) of the slot that a version holds, or has held last; None if another one has it since."""
        if (held := self.table.held.get(version)) is not None:
            return held.slot, held.incarnation
        contents = ((slot, self.slots.read(slot)) for slot in range(SLOTS))
        return next(((slot, c.incarnation) for slot, c in contents if c is not None and c.version == version), None)

    def drained(self) -> frozenset[str]:
        """Return the versions without a role on which nothing is in flight and nothing can be claimed any more.

        Acknowledgements are read first, then requests in flight: a claim made before the acknowledgement is counted by then.
        """
        return frozenset(target.version for target in self._registry.roles.draining if self._is_drained(target))

    def _is_drained(self, target: Target) -> bool:
        held = self.table.held.get(target.version)
        if held is None:
            return True
        if self._unconfirmed(self._index, held.roleless_generation):
            return False
        return self._worker_stats.slot_in_flight(self._index, held.slot) == 0

    # -- writing
    def reload(self) -> None:
        """Read the table from memory again: the registry may know more versions since."""
        self.table = self.slots.read_table(self._registry.targets)

    def hold(self, table: SlotTable) -> None:
        """Write which slots are held, after they are filled and before a route names them."""
        self.table = table
        self.slots.write_table(table)

    def fill(self, command: FillSlot) -> None:
        """Write the contents of a slot. If the version is new in the slot (`fresh`), its counters begin at zero."""
        if command.fresh:
            self._counters.begin(command.slot)
        self.slots.write(command.slot, self._content(command.incarnation, command))

    def refill(self) -> None:
        """Write the slots of versions whose headers file has changed. Workers adopt them at their next sweep."""
        for holder in self.holders():
            if holder.target.rewrite.headers_file is not None:
                content = self._content(holder.incarnation, holder.target)
                if content != self.slots.read(holder.slot):
                    self.slots.write(holder.slot, content)

    def repair(self) -> None:
        """Write the slots that a control has left half written, or without their route. The header fields of others stay."""
        for holder in self.holders():
            known, target = self.slots.read(holder.slot), holder.target
            wanted = target.version, target.endpoints, target.rewrite
            if known is None or (known.version, known.endpoints, known.rewrite) != wanted:
                self.slots.write(holder.slot, self._content(holder.incarnation, target))

    def _content(self, incarnation: int, placed: FillSlot | Target) -> SlotRecord:
        fields = self.header_fields(placed.rewrite)
        return SlotRecord(incarnation, placed.version, placed.endpoints, placed.rewrite, fields)

    def header_fields(self, rewrite: Rewrite) -> Fields:
        """Return the fields of the headers file; none, with an error in the log, if the file cannot be used."""
        try:
            return self._header_files.fields(rewrite.headers_file)
        except Refusal as error:
            log.error("%s: a version gets no header fields of its own: %s", self._name, error.detail)
            return ()

    def refuse_unusable(self, version: str, endpoints: tuple[str, ...], rewrite: Rewrite) -> None:
        """Read the headers file of a version that is to come in; raise Refusal if it is unusable or too large."""
        fields = self._header_files.load(rewrite.headers_file)
        size = len(SlotRecord(0, version, endpoints, rewrite, fields).payload())
        if size > at.SLOT_PAYLOAD_BYTES:
            detail = f"endpoints and header fields of {version} have {size} bytes, and {at.SLOT_PAYLOAD_BYTES} fit: shorten them"
            raise Refusal(RefusalCode.HEADERS_FILE_UNUSABLE, detail)
