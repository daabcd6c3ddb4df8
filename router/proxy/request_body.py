"""A request's body that takes more than one read: what of it may be handed on, where it ends, what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.proxy.chunks import Chunks
from router.proxy.fields import CHUNKED

if TYPE_CHECKING:
    from router.proxy.options import Options


class RequestBody:
    """Framed by a length in bytes or by chunks. `received_bytes` counts what has arrived of it, `paced_bytes` is what that was
    when pace.py last looked; after `done`, `rest` holds
    what followed the body.
    """

    def __init__(self, length: int, options: Options) -> None:
        self.done = False
        self.rest = b""
        self.received_bytes = 0
        self.paced_bytes = 0
        self._left = length
        self._chunks: Chunks | None = None
        if length == CHUNKED:
            self._chunks = Chunks(options.body_bytes_max, options.trailer_bytes_max)

    def feed(self, data: bytes) -> bytes:
        """Return the bytes to hand on; raise ChunkError if they cannot belong to a valid body."""
        self.received_bytes += len(data)
        if self._chunks is not None:
            out = self._chunks.feed(data)
            self.done, self.rest = self._chunks.done, self._chunks.rest
            return out
        if len(data) < self._left:
            self._left -= len(data)
            return data
        self.done, self.rest = True, data[self._left :]
        return data[: self._left]
