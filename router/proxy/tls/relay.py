"""Copies bytes between two transports of this process, in both directions, until both sides have ended.

A TLS connection cannot be handed to another process, because its keys are in this one. After a take-over the old worker
decrypts, and the new worker serves the requests.
"""

from __future__ import annotations

import asyncio
from typing import cast


class Relay:
    """`sides`: the protocols of the two transports."""

    def __init__(self) -> None:
        first, second = Side(), Side()
        first.other, second.other = second, first
        self.sides = (first, second)

    @property
    def over(self) -> bool:
        """Whether both transports are closed."""
        return all(side.lost for side in self.sides)

    def abort(self) -> None:
        """End it at once."""
        for side in self.sides:
            if side.transport is not None:
                side.transport.abort()


class Side(asyncio.Protocol):
    """One of the two sides; it writes received bytes to `other`."""

    other: Side

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self.lost = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop, or by the code that hands a transport over."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop with received bytes."""
        if self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Called by the loop when this side has closed its direction; True keeps the other one open."""
        self.ended = True
        other = self.other.transport
        if self.other.ended:
            self._close()
            self.other._close()
        elif other is not None and not other.is_closing():
            other.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once."""
        self.lost = True
        if error is not None and self.other.transport is not None:
            self.other.transport.abort()
        else:
            self.other._close()

    def pause_writing(self) -> None:
        """Called by the loop when this side's write buffer is full."""
        other = self.other
        if other.transport is not None and not other._paused and not other.transport.is_closing():
            other._paused = True
            other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Called by the loop when this side's write buffer has drained."""
        other = self.other
        if other.transport is not None and other._paused and not other.transport.is_closing():
            other._paused = False
            other.transport.resume_reading()

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()
