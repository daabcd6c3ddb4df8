"""Where access lines go: the log, a file that is renamed, a disk that is full; none is lost or cut while the disk takes them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.proxy.tap import access_stream
from router.proxy.tap.access_stream import ACCESS, QUEUE_BYTES_MAX, AccessStream, AppendingWriter
from tests import waiting
from tests.texts import golden


class Stream:
    """An access stream, and the number of lines that it has dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self.stream = AccessStream("worker-0", self._on_dropped)

    def _on_dropped(self, count: int) -> None:
        self.dropped += count


@pytest.fixture
def it() -> Iterator[Stream]:
    level = ACCESS.level
    ACCESS.setLevel(logging.INFO)
    stream = Stream()
    yield stream
    stream.stream.close()
    ACCESS.setLevel(level)


def read(path: Path) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]  # the thread may be within the next


def open_files() -> list[str]:
    """Return what the descriptors of this process lead to."""
    return [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]


def messages(path: Path) -> list[str]:
    return [line["message"] for line in read(path)]


async def test_a_file_gets_lines_of_json_and_the_log_none(
    it: Stream, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "access.log"
    it.stream.send_to(str(path))
    ACCESS.info("GET / %d", 200)
    await waiting.until(lambda: len(messages(path)) == 1)
    [line] = read(path)
    assert (line["message"], line["process"], line["logger"]) == ("GET / 200", "worker-0", "router.access")
    assert caplog.records == []
    assert path.stat().st_mode & 0o777 == 0o640
    it.stream.send_to("stderr")
    ACCESS.info("again")
    assert [record.getMessage() for record in caplog.records] == ["again"]


@pytest.mark.parametrize("by", ["reopen", "the next line"])
async def test_no_line_is_lost_when_the_file_is_renamed(it: Stream, tmp_path: Path, by: str) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    it.stream.send_to(str(path))
    for number in range(300):
        ACCESS.info("%d", number)
        if number == 99:
            await waiting.until(path.exists)
            path.rename(old)
            if by == "reopen":
                it.stream.send_to(str(path))
        if number % 50 == 0:
            await waiting.until(lambda: bool(messages(path) or messages(old)))
    await waiting.until(lambda: len(messages(path)) + len(messages(old)) == 300)
    assert messages(old) + messages(path) == [str(number) for number in range(300)]
    assert messages(path)
    assert it.dropped == 0


async def test_reopen_makes_the_file_although_nothing_is_written(it: Stream, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    it.stream.send_to(str(path))
    ACCESS.info("a")
    await waiting.until(path.exists)
    path.rename(tmp_path / "old")
    it.stream.send_to(str(path))
    await waiting.until(path.exists)
    await waiting.until(lambda: str(tmp_path / "old") not in open_files())


async def test_a_full_disk_drops_and_counts_only_what_does_not_fit_in_the_queue(
    it: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_stream, "RETRY_S", 0.01)
    path = tmp_path / "access.log"
    path.symlink_to("/dev/full")
    it.stream.send_to(str(path))
    text = "x" * 100_000
    lines = QUEUE_BYTES_MAX // 100_000 + 5
    for _ in range(lines):
        ACCESS.info(text)
    assert 5 <= it.dropped < 10
    await waiting.until(lambda: golden("access_log.disk_full", path=path) in caplog.text)
    assert len([record for record in caplog.records if "No space left" in record.getMessage()]) == 1
    path.unlink()  # the disk has space again: a file in the place of /dev/full
    await waiting.until(lambda: len(messages(path)) == lines - it.dropped)
    ACCESS.info("after")
    await waiting.until(lambda: messages(path)[-1:] == ["after"])


async def test_written_lines_leave_the_queue(it: Stream, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    it.stream.send_to(str(path))
    text = "x" * (QUEUE_BYTES_MAX // 2)
    for number in range(1, 5):
        ACCESS.info(text)
        await waiting.until(lambda written=number: path.exists() and path.read_bytes().count(b"\n") == written)
    assert it.dropped == 0


def test_lines_that_come_faster_than_they_are_written_are_named_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that is not read gives no error: the thread waits in its write."""
    now_s = [0.0]
    monkeypatch.setattr(access_stream.clock, "now_s", lambda: now_s[0])
    dropped: list[int] = []
    writer = AppendingWriter("stdout", dropped.append)  # it is not started
    writer.put(b"x" * QUEUE_BYTES_MAX)
    assert caplog.records == []
    for now_s[0] in (1.0, 60.9, 61.0):
        writer.put(b"x\n")
    assert dropped == [1, 1, 1]
    assert [(record.args[0], record.args[2]) for record in caplog.records if isinstance(record.args, tuple)] == [
        ("stdout", 1),
        ("stdout", 3),
    ]


async def test_a_disk_that_fails_is_named_by_its_error_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_stream, "RETRY_S", 0.01)
    dropped: list[int] = []
    writer = AppendingWriter("/dev/full", dropped.append)
    writer.put(b"x" * QUEUE_BYTES_MAX)
    writer.start()
    await waiting.until(lambda: bool(caplog.records))
    writer.put(b"x\n")
    writer.finish()
    assert dropped[0] == 1
    assert len(caplog.records) == 1


async def test_a_folder_that_is_missing_is_named_and_tried_again(
    it: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access_stream, "RETRY_S", 0.01)
    path = tmp_path / "logs" / "access.log"
    it.stream.send_to(str(path))
    ACCESS.info("early")
    await waiting.until(lambda: golden("access_log.no_folder", path=path) in caplog.text)
    path.parent.mkdir()
    await waiting.until(lambda: messages(path) == ["early"])
    assert it.dropped == 0


async def test_the_end_writes_what_is_queued(it: Stream, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    it.stream.send_to(str(path))
    for number in range(1000):
        ACCESS.info("%d", number)
    it.stream.close()
    assert messages(path) == [str(number) for number in range(1000)]


async def test_the_end_does_not_wait_for_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    dropped = []
    writer = AppendingWriter("/dev/full", dropped.append)
    writer.start()
    writer.put(b"a\n")
    writer.put(b"b\n")
    writer.finish()
    writer.join(1.0)
    assert not writer.is_alive()
    assert sum(dropped) == 2


async def test_another_file_gets_the_lines_from_then_on(it: Stream, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    it.stream.send_to(str(first))
    ACCESS.info("a")
    it.stream.send_to(str(second))
    ACCESS.info("b")
    await waiting.until(lambda: (messages(first), messages(second)) == (["a"], ["b"]))


async def test_stdout_gets_the_lines(it: Stream, capfd: pytest.CaptureFixture[str]) -> None:
    it.stream.send_to("stdout")
    ACCESS.info("a")
    it.stream.close()
    assert json.loads(capfd.readouterr().out)["message"] == "a"


async def written_to_a_full_pipe(lines: str) -> list[bytes]:
    """Return the lines that reach a pipe from one writer for each of the lists of lines that the expression `lines` makes."""
    code = f"""
from router.proxy.tap.access_stream import AppendingWriter
writers = []
for lines in {lines}:
    writers.append(AppendingWriter("stdout", print))
    for line in lines:
        writers[-1].put(line)
for writer in writers:
    writer.start()
    writer.finish()
for writer in writers:
    writer.join()
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    out = await asyncio.wait_for(child.stdout.read(), 30)
    assert await asyncio.wait_for(child.wait(), 10) == 0
    return out.splitlines()


async def test_workers_that_share_a_full_pipe_cut_no_line() -> None:
    """A write of more than PIPE_BUF bytes is cut where the pipe is full, and lines of other workers follow."""
    lines = await written_to_a_full_pipe(r"[[b'a' * 250 + b'\n'] * 2000, [b'b' * 250 + b'\n'] * 2000]")
    assert sorted(lines) == [b"a" * 250] * 2000 + [b"b" * 250] * 2000


async def test_lines_of_every_length_come_through_a_pipe_in_order() -> None:
    lines = await written_to_a_full_pipe(r"[[b'%d' % n * n + b'\n' for n in (1, 4094, 2, 4095, 4096, 9000, 3)]]")
    assert lines == [b"%d" % n * n for n in (1, 4094, 2, 4095, 4096, 9000, 3)]
