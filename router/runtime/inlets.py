"""Where a router that takes over receives clients' connections: one datagram socket a worker, by names in the state directory.

A name is `inlet-TOKEN-INDEX`. The token is the new router's own, and the old one is told it, so connections never go to a
third one. The names appear when the new workers serve: before, nobody can send anything.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

TOKEN_MAX: Final = 2**62
_PREFIX: Final = "inlet-"


class Inlets:
    """Those of one router: `sockets` are inherited by its workers, and nobody finds them before `open`."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.token = secrets.randbelow(TOKEN_MAX - 1) + 1
        self.sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(workers)]
        self._folder = folder
        self._names: list[str] = []

    def open(self) -> None:
        """Give them their names, once; those that a killed router has left go. A folder that takes none is said: clients are then
        told to come anew, as without inlets.
        """
        if self._names:
            return
        try:
            for stale in self._folder.glob(_PREFIX + "*"):
                stale.unlink(missing_ok=True)
            with within(self._folder) as short:
                for index, sock in enumerate(self.sockets):
                    name = _name(self.token, index)
                    sock.bind(f"{short}/{name}")
                    self._names.append(name)
                    os.chmod(f"{short}/{name}", 0o600)
        except OSError as error:
            log.warning("connections of the old router are not taken over: %s", error.strerror)

    def close(self) -> None:
        """Take the names away; what workers hold stays open until they leave."""
        for name in self._names:
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s stays behind: %s", self._folder / name, error.strerror)
        for sock in self.sockets:
            sock.close()


def outlets(folder: Path, token: int) -> list[socket.socket]:
    """Return connected sockets to the inlets of `token`, in the order of its workers; none if it has none, or not yet."""
    found: list[socket.socket] = []
    try:
        with within(folder) as short:
            for index in range(len(list(folder.glob(f"{_PREFIX}{token:016x}-*")))):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                try:
                    sock.connect(f"{short}/{_name(token, index)}")
                except OSError:
                    sock.close()
                else:
                    found.append(sock)
    except OSError:
        pass
    return found


def _name(token: int, index: int) -> str:
    return f"{_PREFIX}{token:016x}-{index}"


@contextmanager
def within(folder: Path) -> Iterator[str]:
    """While entered, a short name for a folder: a Unix socket's path has 107 bytes, and a state directory's may have more."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
