"""Properties of every accepted request head, checked against h11 and against plain splitting."""

from __future__ import annotations

from dataclasses import replace

import h11

from router.errors import DownstreamError
from router.proxy.http1.fields import CHUNKED
from router.proxy.http1.request_head import (
    RequestHead,
    can_never_be_valid,
    parse_request,
    parse_slow,
    request_line_is_malformed,
)

FIELDS_MAX = 100
_CHANGED = frozenset(
    (
        *(b"host", b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"),
        *(b"te", b"upgrade", b"http2-settings", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"),
        *(b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip", b"x-served-version", b"x-router-error"),
        *(b"expect", b"max-forwards", b"x-request-id", b"via", b"transfer-encoding"),
    )
)
"""What the router may remove, set or rewrite; everything else passes byte for byte."""
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type"))


def check(data: bytes) -> None:
    """Fail if the head at the beginning of `data` is accepted and breaks a promise, or breaks the parser."""
    raw = data.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n") + b"\r\n\r\n"
    fast, slow = _outcome(raw, slow=False), _outcome(raw, slow=True)
    assert _comparable(fast) == _comparable(slow), (raw, fast, slow)
    if isinstance(fast, int):
        assert 400 <= fast < 600
        return
    for cut in {1, len(raw) // 3, len(raw) // 2, len(raw) - 3, len(raw) - 1} - {0}:
        assert not can_never_be_valid(raw[:cut]), raw[:cut]
        assert not request_line_is_malformed(raw[:cut]), raw[:cut]
    _judge_client(raw, fast)
    if not fast.final:  # answered by ourselves, never sent on
        _judge_upstream(raw, fast)


def _outcome(raw: bytes, *, slow: bool) -> RequestHead | int:
    try:
        return parse_slow(raw, FIELDS_MAX) if slow else parse_request(raw, FIELDS_MAX)
    except DownstreamError as error:
        return error.status


def _comparable(found: RequestHead | int) -> object:
    """Return a form in which both paths are equal: the slow path puts Host first, the fast path leaves its place."""
    if isinstance(found, int):
        return found
    first, *fields = found.upstream.split(b"\r\n")
    return replace(found, upstream=b""), first, sorted(_host_is(line) for line in fields)


def _host_is(line: bytes) -> bytes:
    return b"Host: " + line[5:].strip() if line[:5].lower() == b"host:" else line


def _judge_client(raw: bytes, head: RequestHead) -> None:
    """Check that the accepted head had one meaning."""
    names = [line.partition(b":")[0].lower() for line in raw[:-4].split(b"\r\n")[1:]]
    assert not any(byte in raw.replace(b"\r\n", b"") for byte in b"\r\n\0"), raw
    assert names.count(b"host") == 1 or (not head.http11 and b"host" not in names), raw
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1, raw
    assert len(names) <= FIELDS_MAX
    read = read_request(raw if head.target.isascii() else raw.replace(raw.split(b" ")[1], b"/x", 1))
    assert read.method == head.method
    assert framing(read) == head.length, raw
    if raw.split(b" ")[1].isascii() and head.target != read.target:
        absolute = read.target.lower()
        assert absolute.startswith((b"http://", b"https://")), raw
        if head.target == b"*":  # RFC 9112 §3.2.4: what OPTIONS asks of an absolute form without a path
            assert head.method == b"OPTIONS", raw
            assert absolute.count(b"/") == 2, raw
        else:
            assert absolute.endswith(head.target.lower().lstrip(b"/")), raw


def _judge_upstream(raw: bytes, head: RequestHead) -> None:
    """Check that the forwarded head is one request, equal for h11 and for the router, with the client's fields unchanged."""
    upstream = head.upstream + (b"" if head.host else b"Host: endpoint\r\n") + b"\r\n"
    read = read_request(upstream if head.target.isascii() else upstream.replace(head.target, b"/x", 1))
    assert (read.method, read.http_version) == (head.method, b"1.1"), upstream
    assert read.target == head.target or not head.target.isascii(), upstream
    assert framing(read) == head.length, upstream
    again = parse_request(upstream, FIELDS_MAX + 8)
    assert (again.method, again.target, again.path, again.length) == (
        head.method,
        head.target,
        head.path,
        head.length,
    ), upstream
    assert again.request_id == head.request_id, upstream
    assert again.expects_continue == head.expects_continue, upstream
    assert again.upgrade == head.upgrade, upstream
    assert not head.host or again.host == head.host, upstream
    tokens = _tokens(raw)
    gone = tokens | set(head.lookalikes)
    assert _end_to_end(upstream, gone) == _end_to_end(raw, gone), upstream
    if not head.upgrade:
        assert not any(name in (b"connection", b"upgrade", b"te", b"keep-alive") for name, _ in read.headers), upstream


def _tokens(raw: bytes) -> set[bytes]:
    """Return what Connection names, to be removed with it (RFC 9110 §7.6.1); framing cannot be taken away by it."""
    fields = [line.partition(b":") for line in raw[:-4].split(b"\r\n")[1:]]
    values = b",".join(value for name, _, value in fields if name.lower() == b"connection")
    return {token.strip().lower() for token in values.split(b",")} - _FRAMING


def _end_to_end(raw: bytes, tokens: set[bytes]) -> list[bytes]:
    lines = raw[:-4].split(b"\r\n")[1:]
    return [line for line in lines if line.partition(b":")[0].lower() not in _CHANGED | tokens]


def read_request(raw: bytes) -> h11.Request:
    """Return the head as h11 reads it; it raises on what it takes for malformed."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    reader.receive_data(raw)
    event = reader.next_event()
    assert isinstance(event, h11.Request), (event, raw)
    return event


def framing(head: h11.Request | h11.Response) -> int:
    """Return CHUNKED, or the length that the fields name, 0 if none does."""
    fields = dict(list(head.headers))
    return CHUNKED if b"transfer-encoding" in fields else int(fields.get(b"content-length", 0))
