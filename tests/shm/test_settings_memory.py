from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.errors import InternalError
from router.shm import settings_memory
from router.shm.settings_memory import DeliveredSettings, Place, decode

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = settings_memory.channel()
    yield made
    for end in made:
        end.close()


def test_it_holds_what_it_was_made_of() -> None:
    for contents in (b"", b"a document", os.urandom(3 << 20)):
        fd = settings_memory.create(contents)
        assert settings_memory.read(fd) == contents
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
        os.close(fd)


def test_a_delivery_is_read_as_it_was_written() -> None:
    places = {"a": Place(0), "b": Place(63, 12345)}
    delivery = DeliveredSettings(7, 3, places, b'{"services": {}}\n', {"old": '{"hosts": ["h"]}'})
    assert decode(delivery.encode()) == delivery
    assert decode(DeliveredSettings(1, 1, {}, b"").encode()) == DeliveredSettings(1, 1, {}, b"")


def test_nobody_changes_it() -> None:
    fd = settings_memory.create(b"a document")
    for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 1), lambda: os.ftruncate(fd, 99)):
        with pytest.raises(PermissionError):
            change()
    assert settings_memory.read(fd) == b"a document"
    os.close(fd)


def test_what_could_be_changed_is_not_read(tmp_path: Path) -> None:
    memory = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    with (tmp_path / "file").open("w+b") as file:
        for fd in (memory, file.fileno()):
            with pytest.raises(InternalError, match="of the settings has seals 0x"):
                settings_memory.read(fd)
    os.close(memory)


def test_the_newest_of_those_that_were_sent_takes_the_place(pair: Pair) -> None:
    fd = settings_memory.create(b"first")
    assert not settings_memory.receive(pair[1].fileno(), fd)
    assert settings_memory.read(fd) == b"first"
    before = len(os.listdir("/proc/self/fd"))
    for contents in (b"second", b"third"):
        sent = settings_memory.create(contents)
        assert settings_memory.send(pair[0], sent)
        os.close(sent)
    assert settings_memory.receive(pair[1].fileno(), fd)
    assert settings_memory.read(fd) == b"third"
    assert not os.get_inheritable(fd)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(fd)


def test_a_child_that_takes_none_is_sent_no_more(pair: Pair) -> None:
    fd = settings_memory.create(b"x")
    sent = [settings_memory.send(pair[0], fd) for _ in range(1000)]
    assert (sent[0], sent[-1]) == (True, False), "sending never waits, and says so"
    assert settings_memory.receive(pair[1].fileno(), fd)
    assert settings_memory.send(pair[0], fd)
    os.close(fd)
