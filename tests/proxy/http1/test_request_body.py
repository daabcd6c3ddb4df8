"""A body in several reads: what is handed on, where it ends, what follows."""

from __future__ import annotations

import pytest

from router.proxy.http1.chunked import ChunkError, RequestBody
from router.proxy.http1.fields import CHUNKED
from tests.proxy.rig import OPTIONS

BODIES = {
    "length": (5, b"hello", b"hello"),
    "chunks": (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("length", "raw", "handed_on"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("cut", range(5))
def test_every_cut_gives_the_same_body_and_what_follows(length: int, raw: bytes, handed_on: bytes, cut: int) -> None:
    body = RequestBody(length, OPTIONS)
    first = body.feed(raw[:cut])
    assert not body.done
    assert first + body.feed(raw[cut:] + b"GET") == handed_on
    assert (body.done, body.data[body.end :], body.received_bytes) == (True, b"GET", len(raw) + 3)


def test_a_broken_chunk_is_told() -> None:
    with pytest.raises(ChunkError):
        RequestBody(CHUNKED, OPTIONS).feed(b"x\r\n")
