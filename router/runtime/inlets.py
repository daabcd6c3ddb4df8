"""Sockets on which a router that takes over receives client connections: one datagram socket a worker.

They have names in the state directory: `inlet-TOKEN-INDEX`. The new router makes the token and sends it to the old router, so
connections cannot go to a third router. The names appear when the new workers serve; before, nothing can be sent.
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
    """The inlets of one router. Its workers inherit `sockets`. Before `open` they have no names."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.token = secrets.randbelow(TOKEN_MAX - 1) + 1
        self.sockets = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(workers)]
        self._folder = folder
        self._names: list[str] = []

    def open(self) -> None:
        """Bind the sockets to their names, once, and remove the names that a killed router has left.

        An error is logged. Clients then have to reconnect, as without inlets.
        """
        if self._names:
            return
        try:
            for stale in self._folder.glob(_PREFIX + "*"):
                stale.unlink(missing_ok=True)
            with within(self._folder) as short_path:
                for index, sock in enumerate(self.sockets):
                    name = _name(self.token, index)
                    sock.bind(f"{short_path}/{name}")
                    self._names.append(name)
                    os.chmod(f"{short_path}/{name}", 0o600)
        except OSError as error:
            log.warning("connections of the old router are not taken over: %s", error.strerror)

    def close(self) -> None:
        """Remove the names and close the sockets of this process; the workers' copies stay open."""
        for name in self._names:
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s stays behind: %s", self._folder / name, error.strerror)
        for sock in self.sockets:
            sock.close()


def outlets(folder: Path, token: int) -> list[socket.socket]:
    """Return connected sockets to the inlets of `token`, in the order of the workers; empty if there are none yet."""
    found: list[socket.socket] = []
    try:
        with within(folder) as short_path:
            for index in range(len(list(folder.glob(f"{_PREFIX}{token:016x}-*")))):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                try:
                    sock.connect(f"{short_path}/{_name(token, index)}")
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
    """Yield a short path for a folder: the path of a Unix socket has at most 107 bytes, and that of a state directory may
    be longer.
    """
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
