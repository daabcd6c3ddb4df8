import pytest

from router.errors import InternalError
from router.rollout.model.rewrite import Rewrite
from router.rollout.placement.slot_table import HeldSlot, SlotTable
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.slots import SlotRecord, Slots, crc

CONTENT = SlotRecord(7, "fraud-v7", ("http://127.0.0.1:9001", "http://127.0.0.1:9002"))


def test_an_empty_slot_has_no_content(segment: Segment) -> None:
    assert [Slots(segment, 0).read(slot) for slot in range(7)] == [None] * 7


def test_content_comes_back_whole_and_only_there(segment: Segment) -> None:
    slots = Slots(segment, 1)
    slots.write(6, CONTENT)
    assert slots.read(6) == CONTENT
    assert [slots.read(slot) for slot in range(6)] == [None] * 6
    assert Slots(segment, 0).read(6) is None


def test_a_shorter_successor_leaves_nothing_of_its_predecessor(segment: Segment) -> None:
    slots = Slots(segment, 0)
    slots.write(0, CONTENT)
    successor = SlotRecord(8, "b", ("http://b:1",))
    slots.write(0, successor)
    assert slots.read(0) == successor


@pytest.mark.parametrize("offset", [at.S_INCARNATION, at.S_LENGTH, at.S_CRC, at.SLOT_HEADER_WORDS])
def test_a_damaged_record_is_not_read(segment: Segment, offset: int) -> None:
    slots = Slots(segment, 0)
    slots.write(2, CONTENT)
    segment.words[segment.layout.slot(0, 2) + offset] ^= 1
    assert slots.read(2) is None


@pytest.mark.parametrize("length", [0, at.SLOT_PAYLOAD_BYTES + 1, (1 << 64) - 1])
def test_an_impossible_length_is_not_followed(segment: Segment, length: int) -> None:
    slots = Slots(segment, 0)
    slots.write(2, CONTENT)
    segment.words[segment.layout.slot(0, 2) + at.S_LENGTH] = length
    assert slots.read(2) is None


def test_the_record_of_another_slot_does_not_pass_for_this_one(segment: Segment) -> None:
    slots = Slots(segment, 0)
    slots.write(2, CONTENT)
    source, target = segment.layout.slot(0, 2), segment.layout.slot(0, 3)
    segment.words[target : target + at.SLOT_WORDS] = segment.words[source : source + at.SLOT_WORDS]
    assert slots.read(3) is None


def test_what_does_not_fit_is_refused_and_changes_nothing(segment: Segment) -> None:
    slots = Slots(segment, 0)
    slots.write(0, CONTENT)
    endpoints = tuple(f"http://{'a' * 200}:{port}" for port in range(1, 65))
    with pytest.raises(InternalError) as caught:
        slots.write(0, SlotRecord(8, "big", endpoints))
    assert caught.value.code == "slot_too_large"
    assert slots.read(0) == CONTENT


def test_cut(segment: Segment) -> None:
    slots = Slots(segment, 0)
    assert slots.cut_generation(4) == 0
    slots.cut(4, 99)
    assert (slots.cut_generation(4), slots.cut_generation(3)) == (99, 0)


def test_a_rewrite_comes_back_and_its_secret_is_not_shown(segment: Segment) -> None:
    slots = Slots(segment, 0)
    content = SlotRecord(1, "v1", ("http://a:1",), Rewrite("h", "/v2", "/run/key"), (("Authorization", "secret"),))
    slots.write(0, content)
    assert slots.read(0) == content
    assert slots.crc(0) == crc(0, content)
    assert "secret" not in repr(content)


def test_without_a_rewrite_the_document_is_that_of_before() -> None:
    assert CONTENT.payload() == (
        b'{"version": "fraud-v7", "endpoints": ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]}'
    )


def test_shared_memory_keeps_the_table(segment: Segment) -> None:
    slots = Slots(segment, 1)
    assert slots.read_table(["v1"]) == SlotTable()
    table = SlotTable().placed("v1", 3).placed("v2", 0).freed(["v1"]).placed("v1", 5)
    table = SlotTable({**table.held, "v2": HeldSlot(0, 1, 99)}, table.incarnations)
    for slot, version in ((3, "v1"), (0, "v2"), (5, "v1")):
        slots.write(slot, SlotRecord(1, version, ("http://h:1",)))
    slots.write_table(table)
    assert Slots(segment, 1).read_table(["v0", "v1", "v2"]) == table
    assert Slots(segment, 1).read_table(["v2"]).held == {"v2": HeldSlot(0, 1, 99)}, "the others are not known any more"
    assert Slots(segment, 0).read_table(["v1", "v2"]) == SlotTable()


def test_a_slot_that_is_being_written_again_is_held_all_the_same(segment: Segment) -> None:
    slots = Slots(segment, 0)
    slots.write(2, SlotRecord(4, "v1", ("http://h:1",)))
    slots.write_table(SlotTable({"v1": HeldSlot(2, 4)}))
    segment.words[segment.layout.slot(0, 2) + at.S_CRC] = 0
    assert slots.read(2) is None
    assert slots.read_table(["v1"]) == SlotTable({"v1": HeldSlot(2, 4)}, (0, 0, 4, 0, 0, 0, 0))
