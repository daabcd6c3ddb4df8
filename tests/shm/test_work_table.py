"""A work table is read whole or not at all, and a proposal that is being written is none."""

from __future__ import annotations

from router.shm import layout as at
from router.shm import segment
from router.shm.work_table import ClaimCell, WorkEntry, WorkTable

CHAT = WorkEntry("POST /v1/chat/completions", True)
MODELS = WorkEntry("GET /v1/models", False)


def test_what_was_written_is_read_and_each_change_has_a_new_sequence() -> None:
    memory = segment.create(1, 2)
    table = WorkTable(memory, 1)
    assert (table.sequence, table.read()) == (0, {})
    table.write({0: CHAT, 3: MODELS})
    assert (table.sequence, WorkTable(memory, 1).read()) == (2, {0: CHAT, 3: MODELS})
    table.write({0: CHAT})
    assert (table.sequence, table.read(), WorkTable(memory, 0).read()) == (4, {0: CHAT}, {})


def test_a_table_that_is_being_written_is_not_read_and_the_next_write_mends_it() -> None:
    memory = segment.create(1, 1)
    table = WorkTable(memory, 0)
    table.write({0: CHAT})
    memory.words[memory.layout.work_table(0) + at.WT_SEQUENCE] += 1  # the writer died here
    assert table.read() is None
    table.write({1: CHAT})
    assert (table.read(), table.sequence) == ({1: CHAT}, 4)


def test_known_times_change_without_the_sequence_and_go_with_their_name() -> None:
    table = WorkTable(segment.create(1, 1), 0)
    table.write({0: CHAT, 1: MODELS})
    table.write_times(0, 30_000_000, 400_000)
    table.write_times(1, 10_000_000, 2_000)
    table.write_times(14, 50_000_000, 1)
    assert table.sequence == 2
    table.write({0: CHAT, 1: CHAT})
    assert [table.times(bucket) for bucket in (0, 1, 14)] == [(30_000_000, 400_000), (0, 0), (50_000_000, 1)]


def test_a_proposal_is_read_with_its_number_and_replaced_by_the_next() -> None:
    memory = segment.create(2, 1)
    cell = ClaimCell(memory, 1, 0)
    assert cell.read() is None
    assert cell.propose("POST /v1/chat/completions")
    assert ClaimCell(memory, 1, 0).read() == (1, "POST /v1/chat/completions")
    assert cell.propose("POST /ü/*")
    assert (cell.read(), ClaimCell(memory, 0, 0).read()) == ((2, "POST /ü/*"), None)
    assert not cell.propose("POST /" + "x" * at.WORK_NAME_BYTES_MAX)
    assert cell.read() == (2, "POST /ü/*")


def test_one_changed_bit_of_a_proposal_is_noticed() -> None:
    memory = segment.create(1, 1)
    cell = ClaimCell(memory, 0, 0)
    cell.propose("POST /v1/completions")
    row = memory.layout.worker_service(0, 0)
    memory.bytes[(row + at.LS_CLAIM_NAME) * at.WORD_BYTES] ^= 1
    assert cell.read() is None
    memory.bytes[(row + at.LS_CLAIM_NAME) * at.WORD_BYTES] ^= 1
    memory.words[row + at.LS_CLAIM_NUMBER] += 1
    assert cell.read() is None
