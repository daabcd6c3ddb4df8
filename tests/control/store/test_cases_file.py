from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from router.control.store.cases_file import (
    EXPIRE_AFTER_S,
    FILE,
    Added,
    Caps,
    CasesFile,
    Stored,
    Summary,
)
from router.errors import Refusal
from router.rollout.cases.case import Case, Request

CAPS = Caps(100, 1 << 20)
SECRET = "4111-1111-1111-1111"


def case(number: int, by: str = "rollback", body: str = "") -> Case:
    return Case(Request("POST", f"/score/{number}", body=body or f"body {number}", body_bytes=9), by=by)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[CasesFile]:
    made = CasesFile(tmp_path / FILE)
    yield made
    made.close()


def ids(file: CasesFile, service: str = "a") -> list[str]:
    return [stored.case.id for stored in file.suite(service)]


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def test_cases_come_back_newest_first_and_by_service(file: CasesFile) -> None:
    assert file.add("a", [case(1)], CAPS, 10.0) == Added((case(1).id,))
    file.add("a", [case(2)], CAPS, 20.0)
    file.add("b", [case(3)], CAPS, 30.0)
    assert file.suite("a") == [Stored(case(2), 20.0), Stored(case(1), 10.0)]
    assert file.case("a", case(1).id) == Stored(case(1), 10.0)
    assert (file.case("b", case(1).id), file.suite("c")) == (None, [])


def test_the_same_request_is_one_case_and_a_written_one_stays_as_it_was_written(file: CasesFile) -> None:
    file.add("a", [case(1), case(1)], CAPS, 10.0)
    later = replace(case(1), incident="a-1-9")
    assert file.add("a", [later], CAPS, 20.0) == Added((), (later.id,))
    assert file.suite("a") == [Stored(later, 20.0)]
    written = replace(case(1), by="ann", note="by hand")
    file.add("a", [written], CAPS, 30.0)
    assert file.add("a", [later], CAPS, 40.0).known == (later.id,)
    assert file.suite("a") == [Stored(written, 30.0)]


def test_the_caps_hold_and_the_oldest_captured_go(file: CasesFile) -> None:
    caps = Caps(2, 1 << 20)
    file.add("a", [case(1, by="ann")], caps, 10.0)
    file.add("a", [case(2)], caps, 20.0)
    assert file.add("a", [case(3)], caps, 30.0) == Added((case(3).id,), (), (case(2).id,))
    assert file.add("a", [case(4, by="ann")], caps, 40.0).dropped == (case(3).id,)
    assert file.add("a", [case(5), case(6)], caps, 50.0) == Added(refused=(case(5).id, case(6).id))
    assert ids(file) == [case(4).id, case(1).id]


def test_all_of_what_is_added_or_nothing(file: CasesFile) -> None:
    class Broken(Exception):
        """Of whoever gives the cases."""

    def cases() -> Iterator[Case]:
        yield case(1)
        raise Broken

    with pytest.raises(Broken):
        file.add("a", cases(), CAPS, 10.0)
    assert ids(file) == []


@pytest.mark.parametrize("way", ["remove", "expire", "displace"])
def test_what_is_deleted_is_gone_from_the_files(tmp_path: Path, file: CasesFile, way: str) -> None:
    secret = case(1, body=SECRET * 2000)  # more than a page: its overflow pages count, too
    file.add("a", [case(0), secret, case(2)], CAPS, 10.0)
    assert SECRET.encode() in everything(tmp_path)
    match way:
        case "remove":
            assert file.remove("a", [secret.id, "unknown"]) == 1
        case "expire":
            assert file.expire({"a": 100.0, "b": 1.0}, 110.0) == {"a": 3}
        case _:
            file.add("a", [case(3)], Caps(1, 1 << 20), 20.0)
    assert SECRET.encode() not in everything(tmp_path)


def test_a_case_that_is_replaced_leaves_nothing_of_what_it_was(tmp_path: Path, file: CasesFile) -> None:
    old = Case(Request("POST", "/", {"x-note": SECRET * 2000}), by="rollback")
    file.add("a", [old], CAPS, 10.0)
    file.add("a", [replace(old, request=Request("POST", "/"))], CAPS, 20.0)
    assert SECRET.encode() not in everything(tmp_path)
    assert [stored.case.request.headers for stored in file.suite("a")] == [{}]


def test_captured_cases_expire_and_written_ones_do_not(file: CasesFile) -> None:
    file.add("a", [case(1), case(2, by="ann")], CAPS, 10.0)
    assert file.expire({"a": 5.0}, 14.9) == {}
    assert file.expire({"a": 5.0}, 15.0) == {"a": 1}
    assert ids(file) == [case(2).id]


def test_a_deletion_that_a_reader_holds_up_says_so(tmp_path: Path, file: CasesFile) -> None:
    file.add("a", [case(1)], CAPS, 10.0)
    with sqlite3.connect(tmp_path / FILE, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM cases").fetchone()
        file._database.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(sqlite3.OperationalError, match="still in its write-ahead log"):
            file.remove("a", [case(1).id])
        reader.execute("COMMIT")
    reader.close()
    file.forget()


def test_the_file_is_for_its_owner_alone(tmp_path: Path, file: CasesFile) -> None:
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000])
def test_what_is_no_file_of_cases_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError):
        CasesFile(tmp_path / FILE)


def test_one_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(sqlite3.DatabaseError, match="it has schema 2, not 1"):
        CasesFile(tmp_path / FILE)


def test_a_suite_is_told_from_what_it_was(file: CasesFile) -> None:
    assert file.summary("a") == Summary(0, 0, "")
    seen = set()
    for step in range(4):
        match step:
            case 0 | 1:
                file.add("a", [case(step)], CAPS, 10.0)
            case 2:
                file.add("a", [case(0)], CAPS, 20.0)
            case _:
                file.remove("a", [case(1).id])
        seen.add(file.summary("a").revision)
    assert len(seen) == 4
    assert (file.summary("a").cases, file.summary("a").size_bytes > 0, file.summary("b").cases) == (1, True, 0)


def test_many_cases_are_looked_at_once(file: CasesFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at all that are held for each that is added took more than 10 s for 7,000, and held the file for all."""
    looks: list[str] = []
    monkeypatch.setattr(file, "stored", lambda service: looks.append(service) or CasesFile.stored(file, service))
    file.add("a", [case(1, by="ann")], Caps(9000, 1 << 30), 10.0)
    done = file.add("a", [case(number, by="ann") for number in range(500)], Caps(9000, 1 << 30), 20.0, whole=True)
    assert (len(done.added), done.known, len(looks)) == (499, (case(1).id,), 2)
    with pytest.raises(Refusal, match="cases_full"):
        file.add("a", [case(number, by="ann") for number in range(500, 510)], Caps(505, 1 << 30), 30.0, whole=True)
    assert file.summary("a").cases == 500
    sizes = file.summary("a").size_bytes
    assert (
        file.add("a", [case(1, by="ann"), case(1, by="ann")], Caps(500, sizes), 40.0, whole=True).known
        == (case(1).id,) * 2
    )
    assert file.summary("a").size_bytes == sizes


def test_what_a_person_adds_is_added_whole_or_not_at_all(file: CasesFile) -> None:
    file.add("a", [case(1, by="ann"), case(2)], CAPS, 10.0)
    for cases, caps in (
        ([case(3, by="ann"), case(4, by="ann")], Caps(2, 1 << 20)),
        ([case(3), case(4)], Caps(2, 1 << 20)),
        ([case(3, by="ann")], Caps(9, 10)),
    ):
        with pytest.raises(Refusal, match="cases_full"):
            file.add("a", cases, caps, 20.0, whole=True)
        assert ids(file) == sorted([case(1).id, case(2).id])
    assert file.add("a", [case(3)], CAPS, 20.0, whole=True, dry_run=True) == Added((case(3).id,))
    assert ids(file) == sorted([case(1).id, case(2).id])


def test_the_cases_of_a_service_that_is_no_more_expire_too(file: CasesFile) -> None:
    file.add("gone", [case(1)], CAPS, 10.0)
    assert file.expire({"a": 1.0}, 10.0 + EXPIRE_AFTER_S - 1) == {}
    assert file.expire({"a": 1.0}, 10.0 + EXPIRE_AFTER_S) == {"gone": 1}


@pytest.mark.parametrize("document", [b"{", b"[]", b'{"request": {}}', b"\xff"])
def test_a_damaged_row_is_an_error_that_names_its_case(file: CasesFile, tmp_path: Path, document: bytes) -> None:
    file.add("a", [case(1), case(2)], CAPS, 10.0)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE cases SET document = ? WHERE id = ?", [document, case(1).id])
    database.close()
    for read in (lambda: file.suite("a"), lambda: file.case("a", case(1).id)):
        with pytest.raises(sqlite3.DatabaseError, match=f"case {case(1).id} is damaged"):
            read()
    assert file.case("a", case(2).id) == Stored(case(2), 10.0)
