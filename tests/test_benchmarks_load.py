"""The load benchmark's arithmetic: which connections hold, the checksum of a body, reading a chunked body."""

from __future__ import annotations

import socket
import zlib

import pytest

from benchmarks.program import BenchmarkError
from benchmarks.soak import body, run
from benchmarks.soak.body_backend import BLOCK, BLOCK_BYTES
from benchmarks.soak.size import Line


@pytest.mark.parametrize(
    ("value", "limit", "held"),
    [(0, 0, True), (1, 0, False), (1e9, None, True), (1.5, 1.5, True)],
    ids=["none allowed, none came", "one too many", "only told", "at the limit"],
)
def test_what_holds(value: float, limit: float | None, held: bool) -> None:
    line = Line("errors", value, "requests", limit)
    assert line.held is held
    assert (line.as_row()[-1] == "NOT held") is not held


@pytest.mark.parametrize("size", [1, BLOCK_BYTES, BLOCK_BYTES + 3])
def test_the_checksum_of_a_body(size: int) -> None:
    assert body.expected(size) == zlib.crc32((BLOCK * 2)[:size])


@pytest.mark.parametrize("cut", range(1, 18))
def test_a_chunked_body_is_read_whole_in_every_cut(cut: int) -> None:
    raw = b"5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(raw[cut:])
        assert body._chunked_checksum(ours, raw[:cut]) == zlib.crc32(b"helloabc")


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(BenchmarkError, match="no part nonsense: idle, body, streams, isolation, pipelining"):
        run.run(True, "idle,nonsense", None)
