"""The address rows: own rows are written, all rows are summed."""

from __future__ import annotations

from router.shm import layout as at
from router.shm import segment
from router.shm.address_rows import AddressRow, AddressRows, address_key, address_name, merged


def test_a_key_is_that_of_one_incarnation_and_one_address() -> None:
    names = [address_name("http://m:80", "10.0.0.1"), address_name("http://m:80", ""), "http://10.0.0.1:80"]
    keys = {address_key(incarnation, name) for incarnation in (1, 2) for name in names}
    assert len(keys) == 6
    assert 0 not in keys


def test_a_row_holds_what_was_written_and_its_counts_grow() -> None:
    memory = segment.create(1, 1)
    rows = AddressRows(memory, 0, 3, 0)
    offset = rows.claim([5])[5]
    rows.write(offset, AddressRow(7, 2, 3, 2, 1, bad_ns=99, good_ns=88, open=4))
    rows.write(offset, AddressRow(1, 1, 4, 2, 1, bad_ns=100, good_ns=0, open=3))
    rows.eject(offset, 1 << 40, 3)
    assert rows.read() == {5: AddressRow(8, 3, 4, 2, 1, 100, 88, 1 << 40, 3, 3)}
    rows.eject(offset, 0, 0)
    assert rows.read()[5].until_ns == 0


def test_an_address_that_stays_keeps_its_row_and_one_that_left_is_forgotten() -> None:
    memory = segment.create(1, 1)
    rows = AddressRows(memory, 0, 0, 0)
    before = rows.claim([5, 6])
    rows.write(before[6], AddressRow(attempts=7))
    after = rows.claim([7, 6])
    assert after[6] == before[6]
    assert after[7] == before[5]
    assert rows.read() == {6: AddressRow(attempts=7), 7: AddressRow()}


def test_a_worker_that_starts_again_finds_its_rows() -> None:
    memory = segment.create(1, 1)
    first = AddressRows(memory, 0, 0, 0)
    first.eject(first.claim([5])[5], 1 << 40, 1)
    second = AddressRows(memory, 0, 0, 0)
    second.claim([5])
    assert second.read()[5].until_ns == 1 << 40


def test_there_is_room_for_all_addresses() -> None:
    memory = segment.create(1, 1)
    keys = list(range(1, at.ADDRESSES_MAX + 1))
    assert len(set(AddressRows(memory, 0, 0, 0).claim(keys).values())) == at.ADDRESSES_MAX


def test_faults_before_a_good_answer_of_another_worker_do_not_count() -> None:
    failed = AddressRow(attempts=9, faults=9, in_a_row=9, requests=2, overdue=1, bad_ns=50)
    assert merged([failed, AddressRow(good_ns=49)]).in_a_row == 9
    both = merged([failed, AddressRow(attempts=1, good_ns=51)])
    assert (both.in_a_row, both.requests, both.overdue, both.attempts, both.faults) == (0, 0, 0, 10, 9)


def test_the_latest_ejection_of_any_worker_holds() -> None:
    both = merged([AddressRow(until_ns=20, ejections=2), AddressRow(until_ns=30, ejections=1)])
    assert (both.until_ns, both.ejections) == (30, 1)
