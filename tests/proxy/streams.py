"""Generated HTTP/1 streams: valid messages, messages with a few bytes changed, and the places where they are cut."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hypothesis import strategies as st

NAMES = st.text("abcdefghijklmnop", min_size=1, max_size=9).map(lambda name: b"X-" + name.encode())
VALUES = st.binary(max_size=30).map(lambda value: bytes(byte for byte in value if byte > 0x20 and byte != 0x7F))
TARGETS = st.text("abc/?&=%._~;:@!$'()*+,-", max_size=20).map(lambda target: b"/" + target.encode())
FIELDS = st.lists(st.tuples(NAMES, VALUES).map(b": ".join), max_size=4)
EXTENSIONS = st.sampled_from((b"", b"", b";a", b";a=b", b';a="b\\"c"'))
WORDS: Final = (
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"0",
        b"1",
        b"\xff",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: u\r\n"),
    *(b"Connection: close\r\n", b"Connection: content-length, transfer-encoding\r\n", b"X-", b"+", b"0x", b";"),
    *(b"GET /hidden HTTP/1.1\r\nHost: t\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 X\r\n\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n"),
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunks of any size, perhaps with extensions and trailers."""
    size = draw(st.integers(1, 20))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = [b"%x%b\r\n%b\r\n" % (len(piece), draw(EXTENSIONS), piece) for piece in pieces]
    trailers = b"".join(line + b"\r\n" for line in draw(st.lists(st.tuples(NAMES, VALUES).map(b": ".join), max_size=2)))
    return b"".join(chunks) + b"0" + draw(EXTENSIONS) + b"\r\n" + trailers + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """One valid request, framed by nothing, a length or chunks."""
    fields = draw(FIELDS)
    body = draw(st.binary(max_size=60))
    framing = draw(st.sampled_from(("none", "length", "chunks")))
    if framing == "length":
        fields.append(b"Content-Length: %d" % len(body))
    elif framing == "chunks":
        fields.append(b"Transfer-Encoding: chunked")
        body = draw(chunked(body))
    else:
        body = b""
    method = draw(st.sampled_from((b"GET", b"POST", b"PUT", b"DELETE", b"PATCH")))
    return b"\r\n".join((method + b" " + draw(TARGETS) + b" HTTP/1.1", b"Host: t", *fields, b"", body))


@dataclass(frozen=True, slots=True)
class Response:
    """What a backend sends for one request with `method`; `closing` says that the end of the connection ends the body."""

    method: bytes
    raw: bytes
    closing: bool


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """A valid response, with what may stand before it (1xx) and must not behind it (bytes that nobody asked for)."""
    method = draw(st.sampled_from((b"GET", b"GET", b"GET", b"HEAD")))
    status = draw(st.sampled_from((200, 200, 201, 206, 204, 304, 400, 404, 429, 500, 503)))
    version = draw(st.sampled_from((b"1", b"1", b"1", b"0")))
    body = draw(st.binary(max_size=80))
    framings = ["length", "close"] if version == b"0" else ["length", "chunks", "close"]
    framing = "none" if status == 204 else draw(st.sampled_from(framings))
    fields = draw(FIELDS) + draw(st.sampled_from(([], [], [b"Connection: close"], [b"Keep-Alive: timeout=9"])))
    if framing == "length":
        fields.append(b"Content-Length: %d" % len(body))
    elif framing == "chunks":
        fields.append(b"Transfer-Encoding: chunked")
        body = draw(chunked(body))
    if method == b"HEAD" or status in (204, 304):
        body = b""
    lines = (
        b"HTTP/1.%b %d %b" % (version, status, draw(st.sampled_from((b"", b"OK", b"not \xe9")))),
        *fields,
        b"",
        body,
    )
    interim = draw(st.lists(st.sampled_from((b"100 Continue", b"103 Early Hints\r\nLink: </a>")), max_size=2))
    before = b"".join(b"HTTP/1.1 %b\r\n\r\n" % one for one in interim)
    closing = framing == "close" and method != b"HEAD" and status not in (204, 304)
    behind = b"" if closing else draw(st.sampled_from((b"", b"", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\npoison", b"\0")))
    return Response(method, before + b"\r\n".join(lines) + behind, closing)


@st.composite
def changed(draw: st.DrawFn, raw: bytes) -> bytes:
    """The stream with one to three changes: bytes lost, doubled, put in, put in place of others, or the end missing."""
    for _ in range(draw(st.integers(1, 3))):
        ends = [at for at in range(len(raw) + 1) if raw[at - 2 : at] == b"\r\n" or raw[at : at + 2] == b"\r\n"]
        at = draw(st.one_of(st.integers(0, len(raw)), st.sampled_from(ends or [0])))
        size = draw(st.integers(1, 12))
        kind = draw(st.sampled_from(("lose", "double", "insert", "replace", "end")))
        if kind == "lose":
            raw = raw[:at] + raw[at + size :]
        elif kind == "double":
            raw = raw[: at + size] + raw[at:]
        elif kind == "end":
            raw = raw[:at]
        else:
            new = draw(st.one_of(st.sampled_from(WORDS), st.binary(min_size=1, max_size=3)))
            raw = raw[:at] + new + raw[at + (len(new) if kind == "replace" else 0) :]
    return raw


CUTS = st.sets(st.integers(1, 600), max_size=8)


def pieces(stream: bytes, cuts: set[int]) -> list[bytes]:
    """Return the stream in pieces, none of them empty unless all of it is."""
    ends = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [stream[start:end] for start, end in pairwise(ends)]
