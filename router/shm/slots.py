"""The contents of a slot: a JSON document with its length, its incarnation and a CRC over all of them.

Control writes the record before it publishes a route that names the slot. A worker that sees a new generation reads the
named slots. If a CRC does not match, the worker keeps its present route and does not acknowledge. The incarnation grows
whenever the slot gets another version; it separates the counters of the two versions.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from router.errors import InternalError
from router.rollout.model.rewrite import NO_REWRITE, Rewrite, from_dict
from router.rollout.model.route import SLOTS
from router.rollout.placement.slot_table import HeldSlot, SlotTable
from router.shm import layout as at
from router.shm.segment import Segment


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """`endpoints` are canonical URLs (rollout/model/endpoint.py). `rewrite` says how requests differ from the client's; `fields`
    are the (name, value) pairs of its headers file, which may be secrets.
    """

    incarnation: int
    version: str
    endpoints: tuple[str, ...]
    rewrite: Rewrite = NO_REWRITE
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def payload(self) -> bytes:
        """Return the JSON document that is written; members that are empty are left out."""
        document: dict[str, object] = {"version": self.version, "endpoints": list(self.endpoints)}
        document |= {"rewrite": self.rewrite.as_dict()} if self.rewrite != NO_REWRITE else {}
        document |= {"fields": self.fields} if self.fields else {}
        return json.dumps(document).encode()


def crc(slot: int, content: SlotRecord) -> int:
    """Return the CRC under which `content` stands in `slot`."""
    return _crc(slot, content.incarnation, content.payload())


def _crc(slot: int, incarnation: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(b"%d %d %d" % (slot, incarnation, len(payload))))


def _fingerprint(version: str) -> int:
    return int.from_bytes(blake2b(version.encode(), digest_size=8).digest(), "little")


class Slots:
    """The seven slot records of one service; one writer (control)."""

    def __init__(self, segment: Segment, service: int) -> None:
        self._segment = segment
        self._starts = [segment.layout.slot(service, slot) for slot in range(SLOTS)]
        self._cuts = [start + at.S_CUT_GENERATION for start in self._starts]

    def write(self, slot: int, content: SlotRecord) -> None:
        """Fill a slot. The caller makes sure that no worker reads the old contents any more."""
        payload = content.payload()
        if len(payload) > at.SLOT_PAYLOAD_BYTES:
            raise InternalError(
                "slot_too_large", f"version {content.version!r}: {len(payload)} bytes, {at.SLOT_PAYLOAD_BYTES} fit"
            )
        start, words = self._starts[slot], self._segment.words
        words[start + at.S_CRC] = 0
        first_byte = (start + at.SLOT_HEADER_WORDS) * at.WORD_BYTES
        self._segment.bytes[first_byte : first_byte + len(payload)] = payload
        words[start + at.S_INCARNATION] = content.incarnation
        words[start + at.S_LENGTH] = len(payload)
        words[start + at.S_CRC] = _crc(slot, content.incarnation, payload)

    def read(self, slot: int) -> SlotRecord | None:
        """Return the contents; None while they are being written, and if they are empty or damaged."""
        start, words = self._starts[slot], self._segment.words
        incarnation, length, crc = (words[start + offset] for offset in (at.S_INCARNATION, at.S_LENGTH, at.S_CRC))
        if not 0 < length <= at.SLOT_PAYLOAD_BYTES:
            return None
        first_byte = (start + at.SLOT_HEADER_WORDS) * at.WORD_BYTES
        payload = bytes(self._segment.bytes[first_byte : first_byte + length])
        if crc != _crc(slot, incarnation, payload):
            return None
        document = json.loads(payload)
        return SlotRecord(
            incarnation,
            document["version"],
            tuple(document["endpoints"]),
            from_dict(document.get("rewrite", {})),
            tuple((name, value) for name, value in document.get("fields", ())),
        )

    def write_table(self, table: SlotTable) -> None:
        """Write which slots are held. The contents of a slot that gets a version are written before."""
        holders = {held.slot: held for held in table.held.values()}
        words = self._segment.words
        holding = {held.slot: version for version, held in table.held.items()}
        for slot, start in enumerate(self._starts):
            if (held := holders.get(slot)) is None:
                words[start + at.S_HELD] = 0
                continue
            words[start + at.S_VERSION] = _fingerprint(holding[slot])
            words[start + at.S_ROLELESS] = held.roleless_generation
            words[start + at.S_HELD] = 1

    def read_table(self, versions: Iterable[str]) -> SlotTable:
        """Return the table that `write_table` has written, as far as it is of these versions.

        It does not depend on the contents: the writer may have died while it wrote them again.
        """
        words, held = self._segment.words, {}
        labels = {_fingerprint(version): version for version in versions}
        for slot, start in enumerate(self._starts):
            version = labels.get(words[start + at.S_VERSION]) if words[start + at.S_HELD] else None
            if version is not None:
                held[version] = HeldSlot(slot, words[start + at.S_INCARNATION], words[start + at.S_ROLELESS])
        return SlotTable(held, tuple(words[start + at.S_INCARNATION] for start in self._starts))

    def crc(self, slot: int) -> int:
        """Return the CRC of the contents: it changes when they are written again; 0 while they are written."""
        return self._segment.words[self._starts[slot] + at.S_CRC]

    def cut(self, slot: int, generation: int) -> None:
        """Make the workers end every attempt on `slot` that was claimed under `generation` or earlier."""
        self._segment.words[self._starts[slot] + at.S_CUT_GENERATION] = generation

    def cut_generation(self, slot: int) -> int:
        """Return the newest generation whose attempts on `slot` must end; 0 for none."""
        return self._segment.words[self._cuts[slot]]

    def cut_generations(self) -> list[int]:
        """Return the cut generation of each slot."""
        words = self._segment.words
        return [words[cut] for cut in self._cuts]
