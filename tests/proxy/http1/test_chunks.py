"""Chunked bodies: the end is found in every cut, and nothing malformed is handed on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.proxy.http1.chunked import ChunkedBody, ChunkError

BODY = b'5\r\nhello\r\n6;a=b;c="d\\"e"\r\n world\r\n0\r\nX: y\r\nContent-Length: 3\r\nAuthorization: z\r\n\r\nNEXT'


def scan(parts: list[bytes], *, decode: bool = False, limit: int = 1000) -> tuple[bytes, bytes]:
    """Return (what is handed on, what followed the body)."""
    chunks, out, rest = ChunkedBody(limit, 200, decode=decode), b"", b""
    for part in parts:
        if chunks.done:
            rest += part
            continue
        out += chunks.feed(part)
        rest += chunks.excess
    assert chunks.done
    return out, rest


@pytest.mark.parametrize("size", range(1, len(BODY) + 1))
def test_every_cut_gives_the_same_bytes_without_forbidden_trailers(size: int) -> None:
    parts = [BODY[at : at + size] for at in range(0, len(BODY), size)]
    assert scan(parts) == (b'5\r\nhello\r\n6;a=b;c="d\\"e"\r\n world\r\n0\r\nX: y\r\n\r\n', b"NEXT")
    assert scan(parts, decode=True) == (b"hello world", b"NEXT")


BAD = {
    "bare LF": b"5\nhello\n0\n\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"5_\r\n",
    "leading space": b" 5\r\n",
    "sign": b"+5\r\n",
    "extension ends with LF": b"5;\n",
    "no CRLF after data": b"5\r\nhelloXX",
    "LF after data": b"5\r\nhello\n0\r\n\r\n",
    "17 digits": b"11111111111111111\r\n",
    "empty size": b"\r\n",
    "NUL in extension": b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "extension without name": b"5;=b\r\nhello\r\n0\r\n\r\n",
    "bare CR": b"5\rX\r\n",
    "trailer without colon": b"0\r\nbad line\r\n\r\n",
    "folded trailer": b"0\r\n x: y\r\n\r\n",
    "bare LF in trailers": b"0\r\nX: a\nb: c\r\n\r\n",
    "trailers too large": b"0\r\nX: " + b"a" * 300 + b"\r\n\r\n",
    "endless trailers": b"0\r\n" + b"X: y\r\n" * 100,
    "endless size line": b"5;a=" + b"b" * 5000,
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_malformed_framing_is_refused_in_every_cut(raw: bytes) -> None:
    for cut in range(min(len(raw), 64)):
        chunks = ChunkedBody(1000, 200)
        with pytest.raises(ChunkError) as caught:
            chunks.feed(raw[:cut])
            chunks.feed(raw[cut:])
        assert caught.value.code == "bad_chunk"


def test_the_limit_counts_all_chunks_together() -> None:
    assert scan([b"5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n"], limit=10)[1] == b""
    with pytest.raises(ChunkError) as caught:
        scan([b"5\r\nhello\r\n6\r\nhello!\r\n0\r\n\r\n"], limit=10)
    assert caught.value.code == "body_too_large"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_any_payload_in_any_cut_comes_out_as_it_went_in(payload: list[bytes], steps: list[int]) -> None:
    raw = b"".join(b"%x\r\n%b\r\n" % (len(data), data) for data in payload) + b"0\r\n\r\n"
    parts, at, turn = [], 0, 0
    while at < len(raw):
        step = steps[turn % len(steps)]
        parts.append(raw[at : at + step])
        at, turn = at + step, turn + 1
    assert scan(parts) == (raw, b"")
    assert scan(parts, decode=True) == (b"".join(payload), b"")


def test_extensions_without_end_are_refused_and_small_chunks_are_not() -> None:
    with pytest.raises(ChunkError, match="extensions"):
        ChunkedBody(1 << 20, 1000).feed(b"1;a=%b\r\nx\r\n" % (b"b" * 4000) * 20)
    assert ChunkedBody(1 << 20, 1000).feed(b"1;ab=c\r\nx\r\n" * 10_000)


def test_trailers_that_the_router_sets_itself_are_dropped() -> None:
    chunks = ChunkedBody(1 << 20, 1000)
    assert chunks.feed(b"0\r\nX-Forwarded-For: 1\r\nX_Request_ID: 2\r\nX: y\r\n\r\n") == b"0\r\nX: y\r\n\r\n"
