"""A holdings record is read if it is whole and fresh, else there is none."""

from __future__ import annotations

from router.runtime import clock
from router.shm import layout as at
from router.shm import segment
from router.shm.holdings import FRESH_S, HoldingsRecord
from router.shm.worker_stats import WorkerStats

DOCUMENT = {"full": True, "targets": []}


def test_what_was_written_is_read_until_it_is_old_or_cleared() -> None:
    memory = segment.create(2, 1)
    record, now_ns = HoldingsRecord(memory, 1), clock.now_ns()
    assert (record.is_set, record.read(now_ns)) == (False, None)
    record.write(DOCUMENT)
    assert (record.is_set, WorkerStats(memory).holdings(now_ns)) == (True, [DOCUMENT])
    assert record.read(clock.now_ns() + int(FRESH_S * 1e9)) is None
    record.clear()
    assert (record.is_set, record.read(now_ns)) == (False, None)


def test_one_changed_bit_is_noticed() -> None:
    memory = segment.create(1, 1)
    record = HoldingsRecord(memory, 0)
    record.write(DOCUMENT)
    first = (memory.layout.holdings(0) + at.HOLDINGS_HEADER_WORDS) * at.WORD_BYTES
    memory.bytes[first] ^= 1
    assert record.read(clock.now_ns()) is None
    memory.bytes[first] ^= 1
    memory.words[memory.layout.holdings(0) + at.HO_LENGTH] -= 1
    assert record.read(clock.now_ns()) is None


def test_a_document_that_does_not_fit_clears_the_record() -> None:
    record = HoldingsRecord(segment.create(1, 1), 0)
    record.write(DOCUMENT)
    record.write({"full": True, "targets": ["x" * at.HOLDINGS_BYTES_MAX]})
    assert not record.is_set


def test_a_dead_worker_holds_nothing() -> None:
    memory = segment.create(1, 1)
    HoldingsRecord(memory, 0).write(DOCUMENT)
    memory.words[memory.layout.worker_slot(0, 0, 3) + at.L_TUNNELS] = 7
    worker_stats = WorkerStats(memory)
    worker_stats.close_dead_worker(0, (0,))
    assert (worker_stats.holdings(clock.now_ns()), worker_stats.slot_scalars(0, 3)[at.L_TUNNELS]) == ([], 0)
