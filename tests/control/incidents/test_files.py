"""Files of incidents on a good disk, a full disk, a disk that hangs, and in a folder that was changed by others."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from router.control.incidents.files import IncidentFiles
from tests.waiting import until

StartFiles = Callable[..., IncidentFiles]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[StartFiles]:
    started: list[IncidentFiles] = []

    def begin(kept_max: int = 10, **more: Any) -> IncidentFiles:
        started.append(IncidentFiles(tmp_path, kept_max, **{"retry_min_s": 0.002, "retry_max_s": 0.01, **more}))
        return started[-1]

    yield begin
    for one in started:
        await one.close()


async def idle(store: IncidentFiles) -> None:
    await until(lambda: not store.waiting)


def files(text: str) -> dict[str, bytes]:
    return {suffix: f"{text}{suffix}".encode() for suffix in (".json", ".md", ".html", ".svg")}


async def test_what_is_put_is_read_and_replaced_whole(start: StartFiles, tmp_path: Path) -> None:
    store = start()
    store.put("svc-1-2", files("one"))
    await idle(store)
    assert await store.read("svc-1-2") == b"one.json"
    store.put("svc-1-2", {".json": b"two"})
    await idle(store)
    assert {path.name: path.read_bytes() for path in (tmp_path / "incidents").iterdir()} == {"svc-1-2.json": b"two"}
    assert oct((tmp_path / "incidents" / "svc-1-2.json").stat().st_mode)[-3:] == "600"
    assert oct((tmp_path / "incidents").stat().st_mode)[-3:] == "700"


async def test_every_file_is_synced_before_it_has_its_name(start: StartFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(fd: int) -> None:
        steps.append("sync " + ("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file"))
        real_sync(fd)

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    store = start()
    store.put("svc-1-2", {".json": b"x"})
    await idle(store)
    assert steps == ["sync file", "rename", "sync folder"]


async def test_a_full_disk_is_alarmed_keeps_the_old_file_and_is_tried_again(
    start: StartFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str | None] = []
    store = start(on_error=reported.append)
    store.put("svc-1-2", {".json": b"old"})
    await idle(store)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        store.put("svc-1-2", {".json": b"new"})
        await until(lambda: bool(reported))
        assert await store.read("svc-1-2") == b"old"
        # between two tries nothing half-written stays
        await until(lambda: os.listdir(tmp_path / "incidents") == ["svc-1-2.json"])
        assert store.waiting == 1
    await idle(store)
    assert await store.read("svc-1-2") == b"new"
    await until(lambda: len(reported) == 2)
    assert reported == [f"{tmp_path / 'incidents'}: No space left on device", None]


async def test_a_folder_that_cannot_be_made_is_told(start: StartFiles, tmp_path: Path) -> None:
    (tmp_path / "incidents").write_text("in the way")
    reported: list[str | None] = []
    store = start(on_error=reported.append)
    store.put("svc-1-2", files("one"))
    await until(lambda: bool(reported))
    assert reported[0] is not None
    assert await store.listing() == {}
    (tmp_path / "incidents").unlink()
    await idle(store)


async def test_a_hanging_disk_holds_nobody_up_and_takes_the_newest_at_last(
    start: StartFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, disk, at_it = start(read_timeout_s=0.02), threading.Event(), threading.Event()
    real_sync = os.fsync

    def hang(fd: int) -> None:
        at_it.set()
        disk.wait(10)
        real_sync(fd)

    monkeypatch.setattr(os, "fsync", hang)
    store.put("svc-1-2", {".json": b"first"})
    await asyncio.to_thread(at_it.wait, 5)
    assert store.busy_s() > 0
    for number in range(100):
        store.put("svc-1-2", {".json": f"{number}".encode()})
    assert store.waiting == 1, "of one incident only the newest waits"
    assert await store.read("svc-1-2") is None
    disk.set()
    await idle(store)
    assert await store.read("svc-1-2") == b"99"
    assert store.busy_s() == 0.0


async def test_reads_are_bounded(start: StartFiles) -> None:
    assert await start(reads_max=0).read("svc-1-2") is None


async def test_those_written_longest_ago_make_room_and_other_files_stay(start: StartFiles, tmp_path: Path) -> None:
    store = start(kept_max=2)
    (tmp_path / "incidents").mkdir()
    (tmp_path / "incidents" / "notes.json").write_text("mine")
    for number, name in enumerate(("svc-1-2", "svc-1-3", "a.b_c-9-40")):
        store.put(name, files(name))
        await idle(store)
        os.utime(tmp_path / "incidents" / f"{name}.json", (number + 1.0, number + 1.0))
    store.put("svc-1-9", files("x"))
    await idle(store)
    assert set(await store.listing() or {}) == {"a.b_c-9-40", "svc-1-9"}
    assert (tmp_path / "incidents" / "notes.json").exists()
    assert not list((tmp_path / "incidents").glob("svc-1-2*"))


@pytest.mark.parametrize("name", ["../journal", "..", "svc-1-2/../../x", "", "svc"])
async def test_nothing_else_is_ever_read(start: StartFiles, tmp_path: Path, name: str) -> None:
    (tmp_path / "journal.json").write_text("secret")
    assert await start().read(name) is None


async def test_a_link_in_the_way_is_not_followed(start: StartFiles, tmp_path: Path) -> None:
    (tmp_path / "incidents").mkdir()
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "incidents" / ".svc-1-2.json.new").symlink_to(tmp_path / "victim")
    store = start()
    store.put("svc-1-2", {".json": b"x"})
    await idle(store)
    assert (tmp_path / "victim").read_text() == "mine"


async def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    store = IncidentFiles(tmp_path, 10)
    for number in range(5):
        store.put(f"svc-1-{number}", {".json": b"x"})
    await store.close()
    assert len(list((tmp_path / "incidents").iterdir())) == 5
