"""The inherited listening sockets of one worker. The supervisor keeps them too, so a dying worker refuses nobody: its
replacement finds the queue.

Closing a listening socket resets every connection that the kernel has completed and nobody has accepted. So a port that
closes for good first takes no SYN any more (a socket filter drops them: who comes now is refused when the kernel asks again a
second later), then accepts whoever is half way in, then closes. A Unix socket's path is gone before its worker is told, which
is the same.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import socket
import struct
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

LAST_ACCEPT_S: Final = 0.2
"""How long a handshake that has begun may take to end, and its connection to be accepted."""
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; the socket module does not name it
_NO_SYN: Final = struct.pack(
    "HBBI" * 5,
    *(0x30, 0, 0, 13),  # load the flags of the TCP header
    *(0x54, 0, 0, 0x12),  # of these SYN and ACK
    *(0x15, 0, 1, 0x02),  # SYN alone?
    *(0x06, 0, 0, 0),  # then drop
    *(0x06, 0, 0, 0xFFFFFFFF),  # else take all of it
)
"""Classic BPF (Documentation/networking/filter.rst). A listening socket's filter sees segments from their TCP header on."""


class Listener:
    """Accepts connections until it is stopped; `new_connection` makes the protocol of each."""

    def __init__(self, new_connection: Callable[[], asyncio.Protocol], *listening: socket.socket) -> None:
        self._new_connection = new_connection
        self._sockets = listening
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            listening.setblocking(False)
            # A Unix socket too: create_unix_server would remove its path when one of the workers closes it (Python 3.13).
            self._servers.append(await loop.create_server(self._new_connection, sock=listening, backlog=4096))

    async def close_port(self) -> None:
        """Let nobody in any more, accept those who are, and stop; takes LAST_ACCEPT_S."""
        for listening in self._sockets:
            refuse_newcomers(listening)
        await asyncio.sleep(LAST_ACCEPT_S)
        self.stop()

    def stop(self) -> None:
        """Accept no more; connections that were accepted go on, and the queue is the supervisor's."""
        for server in self._servers:
            server.close()


def refuse_newcomers(listening: socket.socket) -> None:
    """Drop every SYN that comes to this port from now on. Handshakes that have begun are not touched."""
    if listening.family == socket.AF_UNIX:
        return
    program = ctypes.create_string_buffer(_NO_SYN)
    try:
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_NO_SYN) // 8, ctypes.addressof(program))
        )
    except OSError as error:  # a sandbox may forbid it: what comes between the last accept and the close is reset
        log.warning("connections that come while the port closes may be reset: %s", error)
