"""A request's body that takes more than one read: what of it may be handed on, where it ends, what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.proxy.chunks import Chunks
from router.proxy.fields import CHUNKED

if TYPE_CHECKING:
    from router.proxy.options import Options

LINES_PER_STEP: Final = 256
"""Size lines of chunks read in one turn of the loop: some 0.2 ms where nothing is compiled, a tenth of it where it is."""


class RequestBody:
    """Framed by a length in bytes or by chunks. `received_bytes` counts what has arrived of it, `paced_bytes` is what that was
    when pace.py last looked; what stands in `data` from `end` on followed the body, if it is `done`, or is to be fed again in
    another turn of the loop.
    """

    def __init__(self, length: int, options: Options) -> None:
        self.done = False
        self.data = b""
        self.end = 0
        self.received_bytes = 0
        self.paced_bytes = 0
        self._left = length
        self._chunks: Chunks | None = None
        if length == CHUNKED:
            self._chunks = Chunks(options.body_bytes_max, options.trailer_bytes_max, lines_max=LINES_PER_STEP)

    def feed(self, data: bytes, start: int = 0) -> bytes:
        """Return the bytes to hand on of `data` from `start` on; raise ChunkError if they cannot belong to a valid body."""
        if data is not self.data:
            self.received_bytes += len(data) - start
        if self._chunks is not None:
            out = self._chunks.feed(data, start)
            self.done, self.data, self.end = self._chunks.done, self._chunks.data, self._chunks.end
            return out
        if len(data) - start < self._left:
            self._left -= len(data) - start
            return data[start:]  # the very same if it is all
        self.done, self.data, self.end = True, data, start + self._left
        return data[start : self.end]
