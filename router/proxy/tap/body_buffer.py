"""A body that is kept while it passes, up to a limit: of one that is larger nothing is left but that it was too large."""

from __future__ import annotations

from typing import Final

from router.proxy.http1.chunked import ChunkedBody

_UNBOUNDED: Final = 1 << 62
"""The framing was checked, and its limits asked, when it came."""
PIECE_BYTES: Final = 64
"""What a piece costs beside its bytes: a client that sends them two at a time has 30 times as much memory kept as it sends."""


class BodyBuffer:
    """Pieces as they came, `framed` if there are chunks around them. They are shared with who sends them on: keeping them costs
    no copy. `bytes_kept` counts them with their framing.
    """

    __slots__ = ("_pieces", "bytes_kept", "bytes_max", "framed")

    def __init__(self, bytes_max: int, *, framed: bool) -> None:
        self.bytes_max = bytes_max
        self.bytes_kept = 0
        self.framed = framed
        self._pieces: list[bytes] | None = []

    def add(self, data: bytes) -> None:
        """Keep the next piece, or drop everything if that would be too much."""
        if self._pieces is None:
            return
        if self.bytes_kept + len(data) > self.bytes_max:
            self.drop()
        elif data:
            self._pieces.append(data)
            self.bytes_kept += len(data)

    def drop(self) -> None:
        """Keep nothing of it any more."""
        self._pieces = None
        self.bytes_kept = 0

    @property
    def cost_bytes(self) -> int:
        """Memory that is taken by what is kept."""
        return 0 if self._pieces is None else self.bytes_kept + PIECE_BYTES * len(self._pieces)

    @property
    def too_large(self) -> bool:
        """Whether it was more than is kept."""
        return self._pieces is None

    def payload(self) -> bytes | None:
        """Return what was kept, without framing; None if it was too large. To be called once the body is whole."""
        if self._pieces is None:
            return None
        return dechunk(b"".join(self._pieces), framed=self.framed)


def dechunk(raw: bytes, *, framed: bool) -> bytes:
    """Return the payload of a whole body: without its chunks, if it is `framed`."""
    return chunk_decoder().feed(raw) if framed else raw


def chunk_decoder() -> ChunkedBody:
    """Return what takes the payload out of chunks as they pass."""
    return ChunkedBody(_UNBOUNDED, _UNBOUNDED, decode=True)
