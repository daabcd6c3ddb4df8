"""The settings document: sealed memory that the supervisor creates for every change and the children read.

A child starts with the present document. The supervisor sends the descriptor of a newer document over the child's own socket
and a signal to read it. A document never changes after its creation, so a child never reads half of one.

    first line    JSON: the number of the document, the version of the settings, the place of each service
    the rest      the settings (settings/loader.py): all of them for control, those of the data plane for workers

Why: docs/decisions.md#settings-are-memory-that-never-changes.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from router.shm import sealed

_NAME: Final = "rollback-router-settings"
WAITING_MAX: Final = 64
"""Descriptors that are received at once; the kernel queues fewer (net.unix.max_dgram_qlen, 10 by default)."""


class Place(NamedTuple):
    """The place of a service in shared memory: its number, and since when it is that of this service (monotonic nanoseconds).

    `since_ns` is 0 for a service that was there when the router started.
    """

    number: int
    since_ns: int = 0


@dataclass(frozen=True, slots=True)
class DeliveredSettings:
    """A settings document. Documents are numbered in the order in which they are made.

    `version` is that of the settings, as operators see it. `leaving` is for control: the settings of services that are removed,
    and whose last requests are in flight, each as JSON.
    """

    number: int
    version: int
    places: Mapping[str, Place]
    settings: bytes
    leaving: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the document."""
        head: dict[str, Any] = {"number": self.number, "version": self.version, "places": self.places}
        head["leaving"] = dict(self.leaving)
        return json.dumps(head).encode() + b"\n" + self.settings


def decode(document: bytes) -> DeliveredSettings:
    """Return what `DeliveredSettings.encode` has written."""
    head, _, settings = document.partition(b"\n")
    members = json.loads(head)
    places = {name: Place(*place) for name, place in members["places"].items()}
    return DeliveredSettings(members["number"], members["version"], places, settings, members["leaving"])


def create(document: bytes, name: str = _NAME) -> int:
    """Return the descriptor of new memory that holds `document`; `name` is what /proc/PID/fd shows."""
    return sealed.holding(name, document)


def read(fd: int) -> bytes:
    """Return the document; raise InternalError if its contents are not sealed. The file position does not change."""
    sealed.check(fd, sealed.CONTENTS, "settings")
    size = os.fstat(fd).st_size
    parts = bytearray()
    while len(parts) < size:
        parts += os.pread(fd, size - len(parts), len(parts))
    return bytes(parts)


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the sending and the receiving end of a new channel; both are non-blocking."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in pair:
        end.setblocking(False)
    return pair


def send(channel: socket.socket, fd: int) -> bool:
    """Send a descriptor; return False if the queue is full because the child has not received earlier ones."""
    try:
        socket.send_fds(channel, [b"settings"], [fd])
    except OSError:
        return False
    return True


def receive(channel_fd: int, fd: int) -> bool:
    """Make `fd` refer to the newest document that was sent; return whether there was one. Never blocks."""
    channel = socket.socket(fileno=channel_fd)
    channel.setblocking(False)  # Python 3.11 ignores the flags of recv_fds
    newer = False
    try:
        for _ in range(WAITING_MAX):
            _, found, _, _ = socket.recv_fds(channel, 64, 1)
            for received in found:
                os.dup2(received, fd, inheritable=False)
                os.close(received)
                newer = True
    except BlockingIOError:
        pass
    finally:
        channel.detach()
    return newer
