"""What control writes about addresses."""

from __future__ import annotations

from router.shm import layout as at
from router.shm import segment
from router.shm.address_table import AddressEntry, AddressTable

ENTRIES = {5: AddressEntry(at.HEALTH_GOOD, 1, 2), 6: AddressEntry(at.HEALTH_RED, 3, 4)}


def test_entries_are_read_as_they_were_written() -> None:
    memory = segment.create(1, 2)
    table = AddressTable(memory, 1, 6)
    assert table.read() == {}
    assert table.sequence == 0
    table.write(ENTRIES)
    assert AddressTable(memory, 1, 6).read() == ENTRIES
    assert table.red() == {6}
    table.write({7: AddressEntry()})
    assert table.read() == {7: AddressEntry()}
    assert AddressTable(memory, 1, 5).read() == {}


def test_nothing_is_written_if_nothing_has_changed() -> None:
    table = AddressTable(segment.create(1, 1), 0, 0)
    table.write(ENTRIES)
    before = table.sequence
    table.write(dict(ENTRIES))
    assert table.sequence == before


def test_a_table_that_is_being_written_is_read_later() -> None:
    memory = segment.create(1, 1)
    table = AddressTable(memory, 0, 0)
    table.write(ENTRIES)
    memory.words[memory.layout.address_table(0, 0) + at.AT_SEQUENCE] += 1
    assert table.read() is None
    assert table.red() is None
    table.write(ENTRIES)  # a control that died while it wrote is followed by another one
    assert table.read() == ENTRIES
