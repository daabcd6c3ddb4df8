from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from router.control.store.case_store import CaseStore, CasesUnavailable
from router.control.store.cases_file import FILE, Caps, CasesFile
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.cases.case import Case, Request
from tests.proxy.rig import until

CASE = Case(Request("GET", "/"), by="rollback")


def added(file: CasesFile) -> int:
    return len(file.add("a", [CASE], Caps(9, 9999), 1.0).added)


async def test_it_is_called_on_its_own_thread_and_survives_a_restart(tmp_path: Path) -> None:
    made = CaseStore(tmp_path)
    assert await made.call(added) == 1
    assert await made.call(lambda _: threading.current_thread().name) == "cases"
    await made.close()
    again = CaseStore(tmp_path)
    assert [stored.case for stored in await again.call(lambda file: file.suite("a"))] == [CASE]
    await again.close()


async def test_a_refusal_and_a_failure_reach_the_caller_and_the_next_call_goes_on(tmp_path: Path) -> None:
    made = CaseStore(tmp_path)

    def refusing(_: CasesFile) -> None:
        raise Refusal(RefusalCode.CASE_UNKNOWN, "there is none")

    def failing(_: CasesFile) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(Refusal, match="case_unknown"):
        await made.call(refusing)
    with pytest.raises(CasesUnavailable, match="cases_unavailable: the file of cases cannot be used: disk I/O error"):
        await made.call(failing)
    assert await made.call(added) == 1
    await made.close()


async def test_an_unreadable_file_is_put_aside_with_a_word_and_an_empty_one_goes_on(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database" * 1000)
    told: list[tuple[str, str]] = []
    made = CaseStore(tmp_path, lambda name, why: told.append((name, why)))
    assert await made.call(added) == 1
    await until(lambda: told)
    assert ((tmp_path / told[0][0]).read_bytes()[:14], told[0][1]) == (b"not a database", "file is not a database")
    await made.close()


async def test_a_folder_that_takes_nothing_is_unavailable_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    made = CaseStore(folder)
    with pytest.raises(CasesUnavailable, match="No such file or directory"):
        await made.call(added)
    folder.mkdir()
    assert await made.call(added) == 1
    await made.close()


async def test_a_disk_that_hangs_keeps_nobody(tmp_path: Path) -> None:
    stuck = threading.Event()
    made = CaseStore(tmp_path, calls_max=2, call_timeout_s=0.02, close_timeout_s=0.02)
    for _ in range(2):
        with pytest.raises(CasesUnavailable, match=r"no answer from the disk within 0\.02 s"):
            await made.call(lambda _: stuck.wait())
    with pytest.raises(CasesUnavailable, match="no answer"):
        await made.call(added)
    with pytest.raises(CasesUnavailable, match="2 others wait for the disk"):
        await made.call(added)
    await made.close()
    stuck.set()
