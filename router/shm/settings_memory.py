"""The settings document: sealed memory that the supervisor makes anew for every change, and its children read.

A child is born with the document of that moment. A newer one comes as a descriptor over the child's own socket; a signal tells
it to look. What was made once never changes, so nobody reads half of a document.
"""

from __future__ import annotations

import os
import socket
from typing import Final

from router.shm import sealed

_NAME: Final = "rollback-router-settings"
WAITING_MAX: Final = 64
"""Descriptors that are taken at once; the kernel keeps fewer for a socket (net.unix.max_dgram_qlen, 10 by default)."""


def create(document: bytes) -> int:
    """Return the descriptor of new memory that holds `document`."""
    return sealed.holding(_NAME, document)


def read(fd: int) -> bytes:
    """Return what the memory holds; raise InternalError if somebody could change it. The file position is not touched."""
    sealed.check(fd, sealed.CONTENTS, "settings")
    size = os.fstat(fd).st_size
    parts = bytearray()
    while len(parts) < size:
        parts += os.pread(fd, size - len(parts), len(parts))
    return bytes(parts)


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new channel: to send and to receive, neither ever waits."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in pair:
        end.setblocking(False)
    return pair


def send(channel: socket.socket, fd: int) -> bool:
    """Send a descriptor; return False if the other side has not taken its predecessors yet."""
    try:
        socket.send_fds(channel, [b"settings"], [fd])
    except OSError:
        return False
    return True


def receive(channel_fd: int, fd: int) -> bool:
    """Let `fd` be the newest document that was sent; return whether one was. Never blocks."""
    channel = socket.socket(fileno=channel_fd)
    channel.setblocking(False)  # Python 3.11 ignores the flags of recv_fds
    newer = False
    try:
        for _ in range(WAITING_MAX):
            _, found, _, _ = socket.recv_fds(channel, 64, 1)
            for one in found:
                os.dup2(one, fd, inheritable=False)
                os.close(one)
                newer = True
    except BlockingIOError:
        pass
    finally:
        channel.detach()
    return newer
