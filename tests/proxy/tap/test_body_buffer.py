"""A body that is kept while it passes: as it came, without its chunks, or not at all."""

from __future__ import annotations

import pytest

from router.proxy.tap.body_buffer import BodyBuffer

CHUNKS = b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("bytes_max", "framed", "pieces", "payload"),
    [
        pytest.param(5, False, [b"abc", b"de"], b"abcde", id="just fits"),
        pytest.param(4, False, [b"abc", b"de"], None, id="one too many"),
        pytest.param(0, False, [b""], b"", id="nothing is nothing"),
        pytest.param(0, False, [b"a"], None, id="nothing is kept"),
        pytest.param(99, True, [CHUNKS], b"abcde", id="chunks"),
        pytest.param(99, True, [CHUNKS[:n] for n in (1,)] + [CHUNKS[1:9], CHUNKS[9:]], b"abcde", id="chunks, cut"),
        pytest.param(9, True, [CHUNKS], None, id="framing counts"),
    ],
)
def test_what_is_left_of_it(bytes_max: int, framed: bool, pieces: list[bytes], payload: bytes | None) -> None:
    kept = BodyBuffer(bytes_max, framed=framed)
    for piece in pieces:
        kept.add(piece)

    assert kept.payload() == payload
    assert kept.too_large == (payload is None)
    assert kept.bytes_kept == (0 if payload is None else sum(map(len, pieces)))


def test_once_too_large_it_stays_so() -> None:
    kept = BodyBuffer(2, framed=False)
    for piece in (b"abc", b"d"):
        kept.add(piece)

    assert (kept.payload(), kept.bytes_kept) == (None, 0)
