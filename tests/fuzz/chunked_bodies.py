"""Properties of every chunked body: the same result in any fragmentation, and h11 reads the forwarded bytes the same."""

from __future__ import annotations

import re

import h11

from router.proxy.http1.chunked import ChunkedBody, ChunkError

_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_BODY_BYTES_MAX = 1 << 16
_TRAILER_BYTES_MAX = 2048
Result = tuple[str, bytes, bytes]


def check(data: bytes) -> None:
    """Fail if the body behind the first byte of `data`, which says how it is cut, breaks a promise."""
    step, body = max(data[:1], b"\x01")[0], data[1:]
    state, handed_on, rest = _scan([body], decode=False)
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    cut = _scan(pieces, decode=False)
    plain, payload, plain_rest = _scan(pieces, decode=True)
    assert cut[0] == plain == state, (cut, plain, state)
    if state == "bad":
        return
    assert cut == (state, handed_on, rest), (cut, state, handed_on, rest)
    original, forwarded = _read(body), _read(handed_on)
    if re.search(rb"[ \t]+;", body):  # h11 knows no white space before an extension; the grammar does
        return
    if original[0] == "bad":  # by a trailer field that is dropped and so does no harm
        assert re.search(rb"(?i)\n(content-length|transfer-encoding):", body), body
    else:
        assert original == (state, payload, rest) or state == "more", (original, payload, rest)
    if state == "done":
        assert forwarded == ("done", payload, b""), (forwarded, payload)
        assert plain_rest == rest
        assert handed_on + rest == body or b"\r\n0" in body or body[:1] == b"0", (handed_on, rest, body)
    else:
        assert forwarded[0] == "more", forwarded
        assert forwarded[1] == payload, (forwarded, payload)
        assert body.startswith(handed_on)


def _scan(pieces: list[bytes], *, decode: bool) -> Result:
    """Return (`done`, `more` or `bad`, what was handed on, what followed)."""
    chunks = ChunkedBody(_BODY_BYTES_MAX, _TRAILER_BYTES_MAX, decode=decode)
    out, rest = [], []
    try:
        for piece in pieces:
            if chunks.done:
                rest.append(piece)
            else:
                out.append(chunks.feed(piece))
                rest.append(chunks.excess)
    except ChunkError:
        return "bad", b"", b""
    return "done" if chunks.done else "more", b"".join(out), b"".join(rest)


def _read(body: bytes) -> Result:
    """Return the same as h11 reads it; its error is "bad"."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "t")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(_HEAD + body)
    payload: list[bytes] = []
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Data):
                payload.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return "done", b"".join(payload), reader.trailing_data[0]
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return "more", b"".join(payload), b""
    except h11.RemoteProtocolError:
        return "bad", b"", b""
