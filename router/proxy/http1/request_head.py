"""Translates a request head: checks it, decides its framing, removes hop-by-hop fields (RFC 9110, RFC 9112).

Every head passes llhttp in its strict mode once, as a whole and without a callback per field (0.8 µs; with callbacks 1.8 µs and
their work). This module also refuses heads that llhttp accepts: two or no Host, HTTP/1.0 with Transfer-Encoding,
versions other than 1.0 and 1.1, oversized heads. After llhttp's pass the head is
well formed, so a search in its lower-cased bytes is exact. Field bytes are never decoded: 0x80 to 0xff are forwarded
unchanged.

A translation depends only on the bytes of the head, so it can be cached by those bytes.

Why: docs/decisions.md#refused-although-a-recipient-may-accept-it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httptools

from router.errors import DownstreamError
from router.proxy.http1.fields import (
    CHUNKED,
    CHUNKED_LINE,
    HOP_BY_HOP,
    LENGTH,
    NEVER_REMOVED,
    PSEUDONYM,
    ROUTER_FIELDS,
    WEBSOCKET,
    WIRE,
    ListTooLongError,
    canonical,
    check_list,
    fields_of,
    names_websocket,
    tokens_of,
)
from router.proxy.http1.lookalikes import is_lookalike
from router.uri import authority

_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40}) ([!-~\x80-\xff]+) HTTP/(\d)\.(\d)\r\n")
_BARE_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)(?!\Z)|\x00")
_HOST: Final = re.compile(rb"\r\nhost:[ \t]*+([^\r\n]*)\r\n")
_REQUEST_ID: Final = re.compile(rb"\r\nx-request-id:[ \t]*([\x21-\x7e]{1,128})[ \t]*\r\n")
_FAST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40}) (/[!\x22$-~]*) HTTP/1\.1\r\n")
"""The request line of nearly every request: a path in ASCII without a fragment, and HTTP/1.1."""
_FAST_HOST: Final = re.compile(rb"\r\nhost: (([a-z0-9._~\-]*[a-z0-9_~\-])(?::(?:[1-5]?\d{1,4}|6[0-4]\d{3}))?)\r\n")
_UNCOMMON: Final = re.compile(
    rb"\r\n(?:connection:(?! keep-alive\r\n)|keep-alive|proxy-|te:|transfer-encoding|upgrade|expect|forwarded"
    rb"|via:|x-forwarded-|x-real-ip|x-served-version|x-router-error|http2-settings|[^_:\r]*+_)"
)
"""Fields that the slow path handles; the last alternative is a name with an underscore."""
_KEEP_ALIVE_LINE: Final = b"\r\nconnection: keep-alive\r\n"
_ABSOLUTE: Final = re.compile(rb"http(s?)://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_SECURE_TARGET: Final = re.compile(rb"([A-Z\-]{1,40} http)s(://)", re.IGNORECASE)

_REFUSED_METHODS: Final = frozenset((b"CONNECT", b"TRACE", b"TRACK", b"PRI"))
_EXTENSION_METHOD: Final = re.compile(rb"[A-Z][A-Z0-9_\-]*")
_SLOW_METHODS: Final = _REFUSED_METHODS | {b"OPTIONS"}
_FORWARDS_MAX: Final = 10**9
PASSES_MAX: Final = 8
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS"))


@dataclass  # not frozen: 0.35 µs instead of 2.0; shared between requests, so it must not be changed
class RequestHead:
    """A request as it will be forwarded. `upstream` lacks the fields of this exchange (X-Forwarded-For, X-Request-ID) and
    the final empty line. `length` is the body's size in bytes or CHUNKED. `host` is without a port, in the form for comparison
    (uri/authority.py). It is empty if a client of HTTP/1.0 sent none: the exchange then sends the endpoint's host, because many
    servers refuse an empty Host.
    """

    # By hand, so no field has a default: Cython does not support `slots=True`.
    __slots__ = (
        "expects_continue",
        "final",
        "host",
        "http11",
        "keep_alive",
        "length",
        "lookalikes",
        "method",
        "path",
        "request_id",
        "service",
        "target",
        "upgrade",
        "upstream",
        "work",
    )

    method: bytes
    target: bytes
    path: bytes
    host: bytes
    http11: bool
    keep_alive: bool
    length: int
    upstream: bytes
    request_id: bytes | None
    expects_continue: bool
    upgrade: bool
    """Whether the client requests a WebSocket."""
    final: bool
    """Whether the router must answer the request itself: Max-Forwards is 0 (RFC 9110 §7.6.2)."""
    service: object
    """The worker's service that answers it (engine/local_service.py), None if there is none. This package does not read it."""
    work: object
    """Method and path template of a request to a service (work/work_path.py); None without a service. Not read here either."""
    lookalikes: tuple[bytes, ...]
    """The names, in lower case, of fields that were left out (lookalikes.py)."""

    @property
    def idempotent(self) -> bool:
        """RFC 9110 §9.2.2."""
        return self.method in _IDEMPOTENT

    def with_values(self, upstream: bytes, length: int, request_id: bytes | None) -> RequestHead:
        """Return the same head with other values in it."""
        made = RequestHead.__new__(RequestHead)  # without the parsing of 15 arguments
        made.method = self.method
        made.target = self.target
        made.path = self.path
        made.host = self.host
        made.http11 = self.http11
        made.keep_alive = self.keep_alive
        made.length = length
        made.upstream = upstream
        made.request_id = request_id
        made.expects_continue = self.expects_continue
        made.upgrade = self.upgrade
        made.final = self.final
        made.service = self.service
        made.work = self.work
        made.lookalikes = self.lookalikes
        return made


def can_never_be_valid(data: bytes, start: int = 0) -> bool:
    """Return whether an incomplete head, from `start` on, can never become valid (a bare CR or LF, a NUL)."""
    return _BARE_LINE_END.search(data, start) is not None


def request_line_is_malformed(data: bytes, start: int = 0) -> bool:
    """Return whether the request line is complete and malformed: the rest need not be waited for (HTTP/0.9 has none)."""
    return data.find(b"\r\n", start) >= 0 and _REQUEST_LINE.match(data, start) is None


def _refuse(code: str, detail: str, status: int = 400) -> DownstreamError:
    return DownstreamError(status, code, detail)


def parse_request(
    raw: bytes, fields_max: int, via: bytes = b"", passes_max: int = PASSES_MAX, refuse_lookalikes: bool = False
) -> RequestHead:
    """Return the translation of a complete head (request line to empty line); raise DownstreamError with the status to answer.

    `via` is VIA, or empty for a proxy that sends no Via. `passes_max` is how often Via may name the router already.
    `refuse_lookalikes`: raise for fields that are otherwise left out (lookalikes.py).
    """
    plain = _FAST_LINE.match(raw)
    if plain is not None:
        head = _parse_fast(raw, plain, fields_max, via)
        if head is not None:
            return head
    return parse_slow(raw, fields_max, via, passes_max, refuse_lookalikes)


def parse_slow(
    raw: bytes, fields_max: int, via: bytes = b"", passes_max: int = PASSES_MAX, refuse_lookalikes: bool = False
) -> RequestHead:
    """Return the same as `parse_request`, for any head, without the fast path; it costs two and a half times as much."""
    try:
        head = _parse_slow(raw, fields_max, via, passes_max)
    except ListTooLongError as error:
        raise _refuse("head_too_large", error.detail, 431) from None
    if refuse_lookalikes and head.lookalikes:
        name = head.lookalikes[0][:60].decode("latin-1")
        raise _refuse("bad_request", f"the field name {name} can be read as another field's (lookalike_fields)")
    return head


def _parse_slow(raw: bytes, fields_max: int, via: bytes, passes_max: int) -> RequestHead:
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise _refuse("bad_request", "the request line is malformed (RFC 9112 section 3)")
    if line[3] != b"1" or line[4] not in b"01":
        raise _refuse("version_unsupported", "only HTTP/1.0 and HTTP/1.1 are served", 505)
    method, target = line[1], line[2]
    if method in _REFUSED_METHODS:
        raise _refuse("method_refused", f"{method.decode()} is not proxied", 405)
    raw, lower = canonical(raw)
    # llhttp's strict mode refuses obs-text in a target. The line is checked above, so llhttp gets another target.
    _strict_request(raw if target.isascii() else raw.replace(target, b"/", 1), method)
    _limit_fields(lower, fields_max)
    if b"\r\nvia:" in lower:
        _limit_passes(lower, passes_max)
    http11 = line[4] == b"1"
    host, host_raw = _host(raw, lower, http11)
    length = _request_length(lower, http11)
    found = _REQUEST_ID.search(lower)
    request_id = raw[found.start(1) : found.end(1)] if found else None
    via = via if http11 else via.replace(b"1.1", b"1.0", 1)
    return _assemble(raw, method, target, http11, host, host_raw, length, request_id, via)


def _parse_fast(raw: bytes, start: re.Match[bytes], fields_max: int, via: bytes) -> RequestHead | None:
    """Translate a head without uncommon fields, at 40 % of the slow path's cost; return None if it has any.

    `tests/proxy/http1/test_heads.py` compares the two paths.
    """
    method, target = start.groups()
    lower = raw.lower()
    host = _FAST_HOST.search(lower)
    if host is None or lower.count(b"\r\nhost:") != 1:  # another, malformed one may precede it
        return None
    if method in _SLOW_METHODS or _UNCOMMON.search(lower):
        return None
    _strict_request(raw, method)
    if len(raw) > 4 * fields_max:  # a field has at least four bytes
        _limit_fields(lower, fields_max)
    length = _content_length(lower)
    found = _REQUEST_ID.search(lower)
    if found is not None:
        request_id = raw[found.start(1) : found.end(1)]
    elif b"\r\nx-request-id:" in lower:
        return None
    else:
        request_id = None
    kept = lower.find(_KEEP_ALIVE_LINE)
    if kept >= 0 and lower.find(_KEEP_ALIVE_LINE, kept + 1) >= 0:
        return None
    body = raw[:-2] if kept < 0 else raw[:kept] + raw[kept + len(_KEEP_ALIVE_LINE) - 2 : -2]
    upstream = b"%bX-Forwarded-Host: %b\r\n%b" % (body, raw[host.start(1) : host.end(1)], via)
    path = target.partition(b"?")[0] if b"?" in target else target
    return RequestHead(
        method, target, path, host[2], True, True, length, upstream, request_id, False, False, False, None, None, ()
    )


def over_tls(translate: Callable[[bytes], RequestHead]) -> Callable[[bytes], RequestHead]:
    """Return the translation for connections with TLS, where a target may be an https URL."""

    def request_head(raw: bytes) -> RequestHead:
        return translate(_SECURE_TARGET.sub(rb"\1\2", raw, count=1) if _SECURE_TARGET.match(raw) else raw)

    return request_head


def _limit_fields(lower: bytes, fields_max: int) -> None:
    if lower.count(b"\r\n") - 2 > fields_max:
        raise _refuse("head_too_large", f"more than {fields_max} fields", 431)


def _limit_passes(lower: bytes, passes_max: int) -> None:
    """Refuse a loop: every pass adds a Via (RFC 9110 §7.6.3). One is no loop, because routers may be chained."""
    values = [line[4:] for line in lower.split(b"\r\n") if line.startswith(b"via:")]
    if sum(value.count(PSEUDONYM) for value in values) < passes_max:
        return
    check_list("Via", values)
    members = (member.split(None, 2) for value in values for member in value.split(b","))
    if sum(member[1:2] == [PSEUDONYM] for member in members) >= passes_max:
        raise _refuse(
            "loop_detected", f"the request has passed through {passes_max} routers: do they form a loop?", 508
        )


def _strict_request(raw: bytes, method: bytes) -> None:
    try:
        httptools.HttpRequestParser(WIRE).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # well formed; the upgrade is handled later
    except httptools.HttpParserError as error:
        if method == b"POST":
            raise _refuse("bad_request", f"the request head is malformed: {error}") from None
        if not _EXTENSION_METHOD.fullmatch(method):  # not `head`: a server that ignores case would send no body
            raise _refuse("method_unknown", f"the method {method.decode()} is not implemented", 501) from None
        # llhttp accepts only some of the valid methods (RFC 9110 §16.1), so it gets a method that it accepts.
        _strict_request(b"POST" + raw.removeprefix(method), b"POST")


def _host(raw: bytes, lower: bytes, http11: bool) -> tuple[bytes, bytes]:
    number = lower.count(b"\r\nhost:")
    if number == 0 and not http11:
        return b"", b""
    found = _HOST.search(lower)
    if number != 1 or found is None:
        raise _refuse("bad_request", "exactly one Host field is required (RFC 9112 section 3.2)")
    value = found[1].rstrip(b" \t")
    host = authority.host_of(value)
    if host is None:
        raise _refuse("bad_request", "the Host field is malformed")
    return host, raw[found.start(1) : found.start(1) + len(value)]


def _request_length(lower: bytes, http11: bool) -> int:
    """Return the length of the body (RFC 9112 §6.3); ambiguous framing is refused."""
    lengths, codings = lower.count(b"\r\ncontent-length:"), lower.count(b"\r\ntransfer-encoding:")
    if codings:
        if lengths or not http11 or codings > 1:
            raise _refuse("bad_request", "the framing is ambiguous (RFC 9112 section 6.1)")
        if not CHUNKED_LINE.search(lower):
            raise _refuse("coding_unsupported", "the only transfer coding served is chunked", 501)
        return CHUNKED
    return _content_length(lower)


def _content_length(lower: bytes) -> int:
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    found = LENGTH.match(lower, at)
    if found is None or lower.find(b"\r\ncontent-length:", found.end(1)) >= 0:
        raise _refuse("bad_request", "the Content-Length is malformed or repeated")
    return int(found[1])


def _assemble(
    raw: bytes,
    method: bytes,
    target: bytes,
    http11: bool,
    host: bytes,
    host_raw: bytes,
    length: int,
    request_id: bytes | None,
    via: bytes,
) -> RequestHead:
    fields = fields_of(raw)
    tokens = tokens_of(fields, b"connection")
    if b"#" in target:
        raise _refuse("bad_request", "the request target has a fragment (RFC 9112 section 3.2)")
    if not target.startswith(b"/"):
        target, host, host_raw = _resolve_target_form(method, target, host, host_raw)
    expects = _expectation(fields, http11, length)
    removed = (HOP_BY_HOP | ROUTER_FIELDS | tokens) - NEVER_REMOVED
    kept, lookalikes = [], []
    for name, line in fields:
        if is_lookalike(name, removed):
            lookalikes.append(name)
            continue
        if name == b"host" or name in removed or (name == b"expect" and not expects):
            continue
        if name == b"x-request-id" and request_id is None:
            continue
        kept.append(line)
    keyed = any(line[:18].lower() == b"sec-websocket-key:" for line in kept)
    upgrade = keyed and method == b"GET" and http11 and length == 0 and names_websocket(fields, tokens)
    if upgrade:
        kept.append(WEBSOCKET)
    final = method == b"OPTIONS" and _count_down(kept)
    forwarded_host = b"X-Forwarded-Host: " + host_raw + b"\r\n" if host_raw else b""
    fields_text = b"".join((*kept, forwarded_host, via))
    host_line = b"Host: " + host_raw + b"\r\n" if host_raw else b""
    upstream = b"%b %b HTTP/1.1\r\n%b%b" % (method, target, host_line, fields_text)
    keep_alive = b"close" not in tokens if http11 else b"keep-alive" in tokens
    path = target.partition(b"?")[0]
    return RequestHead(
        method,
        target,
        path,
        host,
        http11,
        keep_alive,
        length,
        upstream,
        request_id,
        expects,
        upgrade,
        final,
        None,
        None,
        tuple(lookalikes),
    )


def _count_down(kept: list[bytes]) -> bool:
    """Take one from Max-Forwards, in place; return whether it was zero (RFC 9110 §7.6.2)."""
    places = [place for place, line in enumerate(kept) if line[:13].lower() == b"max-forwards:"]
    if not places:
        return False
    value = kept[places[0]][13:].strip()
    if len(places) > 1 or not value.isdigit():
        raise _refuse("bad_request", "the Max-Forwards field is malformed or repeated")
    left = int(value) if len(value) < 10 else _FORWARDS_MAX
    kept[places[0]] = b"Max-Forwards: %d\r\n" % (left - 1)
    return left == 0


def _resolve_target_form(method: bytes, target: bytes, host: bytes, host_raw: bytes) -> tuple[bytes, bytes, bytes]:
    """Absolute-form and asterisk-form (RFC 9112 §3.2.2, §3.2.4): the target's authority wins over Host."""
    if target == b"*" and method == b"OPTIONS":
        return target, host, host_raw
    found = _ABSOLUTE.fullmatch(target)
    named = authority.host_of(found[2]) if found is not None else None
    if found is None or named is None:
        raise _refuse("bad_request", "the request target is neither a path nor an http URL")
    if found[1]:
        raise _refuse("misdirected", "an https URL is not served without TLS (RFC 9110 section 7.4)", 421)
    if not found[3] and method == b"OPTIONS":  # the last proxy sends `*` to the server (RFC 9112 §3.2.4)
        return b"*", named, found[2]
    path = found[3] if found[3].startswith(b"/") else b"/" + found[3]
    return path, named, found[2]


def _expectation(fields: list[tuple[bytes, bytes]], http11: bool, length: int) -> bool:
    values = [line.partition(b":")[2].strip().lower() for name, line in fields if name == b"expect"]
    if any(value != b"100-continue" for value in values):
        raise _refuse("expectation_failed", "the only expectation served is 100-continue", 417)
    return bool(values) and http11 and length != 0
