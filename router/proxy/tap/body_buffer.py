"""A bounded copy of a body as it streams through. Above the limit the copy is dropped and `too_large` is set."""

from __future__ import annotations

from typing import Final

from router.proxy.http1.chunked import ChunkedBody

_UNBOUNDED: Final = 1 << 62
"""The framing and its limits were checked when the body arrived."""
PIECE_BYTES: Final = 64
"""The cost of a piece beside its bytes: a body that arrives two bytes at a time takes 30 times its size in memory."""


class BodyBuffer:
    """The pieces as they arrived; `framed`: they contain chunk framing. The pieces are shared with the relay, so keeping them
    costs no copy. `bytes_kept` counts them with their framing.
    """

    __slots__ = ("_pieces", "bytes_kept", "bytes_max", "framed")

    def __init__(self, bytes_max: int, *, framed: bool) -> None:
        self.bytes_max = bytes_max
        self.bytes_kept = 0
        self.framed = framed
        self._pieces: list[bytes] | None = []

    def add(self, data: bytes) -> None:
        """Keep the next piece, or drop all pieces if the limit would be exceeded."""
        if self._pieces is None:
            return
        if self.bytes_kept + len(data) > self.bytes_max:
            self.drop()
        elif data:
            self._pieces.append(data)
            self.bytes_kept += len(data)

    def drop(self) -> None:
        """Drop all pieces."""
        self._pieces = None
        self.bytes_kept = 0

    @property
    def cost_bytes(self) -> int:
        """The memory that the pieces take."""
        return 0 if self._pieces is None else self.bytes_kept + PIECE_BYTES * len(self._pieces)

    @property
    def too_large(self) -> bool:
        """Whether the body exceeded the limit."""
        return self._pieces is None

    def payload(self) -> bytes | None:
        """Return the body without framing; None if it was too large. To be called once the body is whole."""
        if self._pieces is None:
            return None
        return dechunk(b"".join(self._pieces), framed=self.framed)


def dechunk(raw: bytes, *, framed: bool) -> bytes:
    """Return the payload of a whole body: without its chunks, if it is `framed`."""
    return chunk_decoder().feed(raw) if framed else raw


def chunk_decoder() -> ChunkedBody:
    """Return a decoder that takes the payload out of chunks."""
    return ChunkedBody(_UNBOUNDED, _UNBOUNDED, decode=True)
