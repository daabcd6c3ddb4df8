"""The inherited listening socket of one worker. The supervisor keeps it too, so a dying worker refuses nobody: its
replacement finds the queue.
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from router.proxy.downstream import Downstream
from router.proxy.plane import Plane


class Listener:
    """Accepts connections for a plane until it is stopped."""

    def __init__(self, plane: Plane, listening: socket.socket) -> None:
        self._plane = plane
        self._socket = listening
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        # A Unix socket too: create_unix_server would remove its path when one of the workers closes it (Python 3.13).
        self._server = await loop.create_server(self._protocol, sock=self._socket, backlog=4096)

    def _protocol(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, Downstream(self._plane))

    def stop(self) -> None:
        """Accept no more; connections that were accepted go on."""
        if self._server is not None:
            self._server.close()
