"""Packets between two supervisors, over real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from router.supervisor.takeover import channel


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    two.setblocking(False)
    with one, two:
        yield one, two


def test_messages_keep_apart_and_bring_their_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    read, write = os.pipe()
    channel.send(pair[0], {"say": "offer"}, [write])
    channel.send(pair[0], {"say": "yours"})
    os.close(write)
    got = channel.receive(pair[1])
    assert got is not None
    assert got[0] == {"say": "offer"}
    os.write(got[1][0], b"x")
    assert os.read(read, 1) == b"x"
    assert not os.get_inheritable(got[1][0]), "no child gets it unless it is told of it"
    assert channel.receive(pair[1]) == ({"say": "yours"}, [])
    with pytest.raises(BlockingIOError):
        channel.receive(pair[1])
    pair[0].close()
    assert channel.receive(pair[1]) is None
    for descriptor in (read, *got[1]):
        os.close(descriptor)


@pytest.mark.parametrize("raw", [b"hello", b"[1]", b"\xff", b"{" + b" " * channel.BYTES_MAX + b"}"])
def test_garbage_is_refused_and_its_descriptors_are_closed(
    pair: tuple[socket.socket, socket.socket], raw: bytes
) -> None:
    read, write = os.pipe()
    socket.send_fds(pair[0], [raw], [write])
    os.close(write)
    with pytest.raises(ValueError):
        channel.receive(pair[1])
    assert os.read(read, 1) == b"", "nobody holds the other end any more"
    os.close(read)


def test_the_kernel_says_who_the_other_is(pair: tuple[socket.socket, socket.socket]) -> None:
    assert channel.peer(pair[1]) == (os.getpid(), os.getuid())
