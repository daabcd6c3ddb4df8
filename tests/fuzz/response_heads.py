"""Properties of every forwarded response head, checked with h11 as the client."""

from __future__ import annotations

import h11

from router.errors import UpstreamError
from router.proxy.http1.fields import CHUNKED, UNTIL_CLOSE
from router.proxy.http1.response_head import ResponseHead, parse_response

_CHANGED = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"),
        *(b"te", b"upgrade", b"http2-settings", b"x-served-version", b"x-router-error", b"via"),
    )
)
_KEPT = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type", b"x-request-id"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))


def check(data: bytes) -> None:
    """Fail if the head at the beginning of `data` is accepted and breaks a promise, or breaks the parser."""
    raw = data.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n\r\n"
    try:
        head = parse_response(raw)
    except UpstreamError:
        return
    fields = [(line.partition(b":")[0].lower(), line) for line in raw[:-4].split(b"\r\n")[1:]]
    framing = [name for name, _ in fields if name in _FRAMING]
    assert len(framing) <= 1, raw
    assert not any(byte in raw.replace(b"\r\n", b"") for byte in b"\r\n\0"), raw
    status, length = _read(raw)
    assert status == head.status, raw
    if status != 204 and status >= 200:
        assert length == head.length, raw
    if status != 101 or head.upgrade:  # no other 101 is ever handed on
        _judge_downstream(fields, head)


def _judge_downstream(fields: list[tuple[bytes, bytes]], head: ResponseHead) -> None:
    """Check that the forwarded head has the framing of the translation, and that the backend's fields are unchanged."""
    bodyless = head.status < 200 or head.status == 204
    status, length = _read(head.downstream + b"\r\n")
    assert status == head.status, head.downstream
    assert length == (UNTIL_CLOSE if bodyless else head.length), head.downstream
    again = parse_response(head.downstream + b"\r\n")
    assert (again.status, again.length) == (status, length), head.downstream
    assert again.has_request_id == head.has_request_id, head.downstream
    tokens = {
        token.strip().lower()
        for name, line in fields
        if name == b"connection"
        for token in line.partition(b":")[2].split(b",")
    }
    changed = _CHANGED | (tokens - _KEPT) | (_FRAMING if bodyless else frozenset())
    kept = [_canonical(name, line) for name, line in fields if name not in changed]
    arrived = [line for line in head.downstream.split(b"\r\n")[1:-1] if line[:4].lower() != b"via:"]
    if head.upgrade:
        arrived = arrived[:-2]
    assert arrived == kept, head.downstream


def _read(raw: bytes) -> tuple[int, int]:
    """Return (status, length) as h11 reads them."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    asking = [("Host", "t"), ("Connection", "upgrade"), ("Upgrade", "websocket")]
    reader.send(h11.Request(method="GET", target="/", headers=asking))
    reader.send(h11.EndOfMessage())
    reader.receive_data(raw)
    event = reader.next_event()
    assert isinstance(event, (h11.Response, h11.InformationalResponse)), (event, raw)
    fields = dict(list(event.headers))
    if b"transfer-encoding" in fields:
        return event.status_code, CHUNKED
    return event.status_code, int(fields.get(b"content-length", UNTIL_CLOSE))


def _canonical(name: bytes, line: bytes) -> bytes:
    """Replace the coding by its canonical form."""
    return b"Transfer-Encoding: chunked" if name == b"transfer-encoding" else line
