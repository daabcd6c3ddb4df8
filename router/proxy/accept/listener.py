"""The inherited listening sockets of one worker. The supervisor keeps them, too: if a worker dies, its replacement finds the
queue, and no connection is refused.

Closing a listening socket resets every connection that is established but not accepted. A port that closes for good therefore
closes in three steps:
1. A socket filter drops new SYNs. Their senders retransmit a second later and are refused then.
2. The worker accepts the connections whose handshake was in progress.
3. The socket closes.
For a Unix socket, the supervisor removes the path first, which has the same effect.
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
"""Time for TCP handshakes in progress to end and for their connections to be accepted."""
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; the socket module does not name it
_NO_SYN: Final = struct.pack(
    "HBBI" * 5,
    *(0x30, 0, 0, 13),  # load the flags of the TCP header
    *(0x54, 0, 0, 0x12),  # keep the flags SYN and ACK
    *(0x15, 0, 1, 0x02),  # if SYN is set and ACK is not
    *(0x06, 0, 0, 0),  # drop the segment
    *(0x06, 0, 0, 0xFFFFFFFF),  # else accept the whole segment
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
        """Refuse new connections, accept those in progress, and stop; takes LAST_ACCEPT_S."""
        for listening in self._sockets:
            refuse_new_connections(listening)
        await asyncio.sleep(LAST_ACCEPT_S)
        self.stop()

    def stop(self) -> None:
        """Accept no more. Accepted connections continue; the supervisor keeps the queue."""
        for server in self._servers:
            server.close()


def refuse_new_connections(listening: socket.socket) -> None:
    """Drop every SYN that arrives at this port from now on. Handshakes in progress are not affected."""
    if listening.family == socket.AF_UNIX:
        return
    program = ctypes.create_string_buffer(_NO_SYN)
    try:
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_NO_SYN) // 8, ctypes.addressof(program))
        )
    except OSError as error:
        # A sandbox may forbid it: connections between the last accept and the close are then reset.
        log.warning("connections that come while the port closes may be reset: %s", error)
