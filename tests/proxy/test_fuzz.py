"""Generated streams of valid requests, cut anywhere: the backend gets them as an h11 model reads them, one answer for each."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.recorder import Recorder, Wire, h11_requests, statuses
from tests.proxy.rig import Rig, until

_NAMES = st.text("abcdefghijklmnop", min_size=1, max_size=9).map(lambda name: b"X-" + name.encode())
_VALUES = st.binary(max_size=30).map(lambda value: bytes(byte for byte in value if byte > 0x20 and byte != 0x7F))
_TARGETS = st.text("abc/?&=%._~;:@!$'()*+,-", max_size=20).map(lambda target: b"/" + target.encode())


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """One valid request, framed by nothing, a length or chunks."""
    fields = [name + b": " + value for name, value in draw(st.lists(st.tuples(_NAMES, _VALUES), max_size=4))]
    body = draw(st.binary(max_size=60))
    framing = draw(st.sampled_from(("none", "length", "chunks")))
    if framing == "length":
        fields.append(b"Content-Length: %d" % len(body))
    elif framing == "chunks":
        fields.append(b"Transfer-Encoding: chunked")
        size = draw(st.integers(1, 20))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    else:
        body = b""
    method = draw(st.sampled_from((b"GET", b"POST", b"PUT", b"DELETE", b"PATCH")))
    return b"\r\n".join((method + b" " + draw(_TARGETS) + b" HTTP/1.1", b"Host: t", *fields, b"", body))


async def _relayed(stream: bytes, pieces: list[bytes], number: int) -> tuple[list[int], list[bytes]]:
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        wire = Wire(rig.plane)
        for piece in pieces:
            wire.feed(piece)
            await asyncio.sleep(0)
        await until(lambda: wire.written.count(b"\r\n\r\nok") == number)
        wire.leave()
        assert recorder.rests == [], stream
        return statuses(wire.written), recorder.requests


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(_requests(), min_size=1, max_size=4), cuts=st.sets(st.integers(1, 800), max_size=8))
def test_a_stream_of_requests_arrives_as_h11_reads_it(requests: list[bytes], cuts: set[int]) -> None:
    stream = b"".join(requests)
    ends = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(ends)]
    answered, arrived = uvloop.run(_relayed(stream, pieces, len(requests)))
    assert answered == [200] * len(requests)
    read = [request for raw in arrived for request in h11_requests(raw)[0]]
    assert sorted(read) == sorted(h11_requests(stream)[0])
