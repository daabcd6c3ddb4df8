"""Translates a response head: checks it, decides its framing, removes hop-by-hop fields (RFC 9110, RFC 9112).

It works like `request_head`: one strict pass of llhttp over the whole head, then the router's own checks; field bytes are never
decoded. An ambiguous head is a fault of the backend and is never forwarded to the client. The code of an UpstreamError is the
cause, a member of `layout.REFUSED_ANSWERS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import httptools

from router.errors import UpstreamError
from router.proxy.http1.fields import (
    CHUNKED,
    CHUNKED_LINE,
    ENCODED_STREAM,
    EVENT_STREAM,
    FRAMING,
    HOP_BY_HOP,
    JSON,
    JSON_LINES,
    LENGTH,
    NEVER_REMOVED,
    PLAIN,
    ROUTER_FIELDS_IN_RESPONSES,
    UNTIL_CLOSE,
    WEBSOCKET,
    WIRE,
    ListTooLongError,
    canonical,
    fields_of,
    names_websocket,
    tokens_of,
)

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [\t \x21-\x7e\x80-\xff]*)?\r\n")
_HTTP: Final = b"HTTP/1."
_TLS_RECORD: Final = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")
"""Type and version of a record (RFC 8446 §5.1). A TLS server answers plain HTTP with an alert."""
_HTTP2_FRAME: Final = re.compile(rb"\x00[\x00-\xff]{2}[\x04\x07]", re.DOTALL)
"""Length and type of a SETTINGS or GOAWAY frame (RFC 9113 §4.1, §6.5, §6.8), with which an HTTP/2 server begins."""
_LINE_SHOWN_BYTES: Final = 40
_STATUS_WITHOUT_SPACE: Final = len(b"HTTP/1.1 200\r\n")
_UNCOMMON_RESPONSE: Final = re.compile(
    rb"\r\n(?:connection|keep-alive|proxy-|te:|transfer-encoding|upgrade|http2-settings|x-served-version|x-router-error)"
)
_KEEP_ALIVE_TIMEOUT: Final = re.compile(rb"\r\nkeep-alive:[^\r\n]*?timeout[ \t]*=[ \t]*(\d{1,6})")
_CONTENT_TYPE: Final = re.compile(
    rb"\r\ncontent-type:[ \t]*(?:(text/event-stream)|(application/(?:(?:x-)?ndjson|(?:x-)?json-?l(?:ines)?|x-json-stream"
    rb"|stream\+json))|(application/(?:[^\s;]*\+)?json))[ \t]*[;\r]"
)
_ENCODED: Final = re.compile(rb"\r\ncontent-encoding:(?![ \t]*(?:identity)?[ \t]*\r\n)")
_KINDS: Final = (PLAIN, EVENT_STREAM, JSON_LINES, JSON)
_ENCODED_KINDS: Final = (PLAIN, ENCODED_STREAM, ENCODED_STREAM, PLAIN)


@dataclass
class ResponseHead:
    """A response as it will be forwarded. `downstream` lacks the final empty line and the fields of this exchange;
    `length` is the body's size in bytes, CHUNKED or UNTIL_CLOSE, before HEAD, 204 and 304 are considered.
    """

    __slots__ = (
        "downstream",
        "has_request_id",
        "idle_timeout_s",
        "keep_alive",
        "kind",
        "length",
        "retry_after",
        "status",
        "upgrade",
    )

    status: int
    keep_alive: bool
    length: int
    downstream: bytes
    has_request_id: bool
    idle_timeout_s: float | None
    upgrade: bool
    """Whether the backend switches to, or requires, WebSocket."""
    kind: int
    """Kind of the body: PLAIN, EVENT_STREAM, JSON_LINES, JSON or ENCODED_STREAM (fields.py)."""
    retry_after: bool
    """Whether there is a Retry-After."""

    def with_values(self, downstream: bytes, length: int, _request_id: bytes | None) -> ResponseHead:
        """Return the same head with other values in it."""
        made = ResponseHead.__new__(ResponseHead)  # without the parsing of 9 arguments
        made.status = self.status
        made.keep_alive = self.keep_alive
        made.length = length
        made.downstream = downstream
        made.has_request_id = self.has_request_id
        made.idle_timeout_s = self.idle_timeout_s
        made.upgrade = self.upgrade
        made.kind = self.kind
        made.retry_after = self.retry_after
        return made


def parse_response(raw: bytes, via: bytes = b"") -> ResponseHead:
    """Return the translation of a complete response head; raise UpstreamError if it is not one unambiguous HTTP/1 head."""
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise not_http(raw)
    raw, lower = canonical(raw)
    try:
        httptools.HttpResponseParser(WIRE).feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        _response_length(lower, line[1] == b"1")  # the framing may be the cause, which has a code of its own
        raise UpstreamError("response_head_malformed", f"the response head is malformed: {error}") from None
    if line.end() == _STATUS_WITHOUT_SPACE:
        raw = raw[:12] + b" " + raw[12:]  # servers must send it, also without a reason (RFC 9112 §4)
    http11 = line[1] == b"1"
    length = _response_length(lower, http11)
    has_request_id = b"\r\nx-request-id:" in lower
    status = int(line[2])
    kind, retry_after = _kind_of(lower), b"\r\nretry-after:" in lower
    bodyless = status < 200 or status == 204
    if http11 and not (bodyless and length != UNTIL_CLOSE) and not _UNCOMMON_RESPONSE.search(lower):
        return ResponseHead(status, True, length, raw[:-2] + via, has_request_id, None, False, kind, retry_after)
    fields = fields_of(raw)
    try:
        tokens = tokens_of(fields, b"connection")
        upgrade = http11 and status in (101, 426) and names_websocket(fields, tokens)
    except ListTooLongError as error:
        raise UpstreamError("response_list_too_long", f"the response head has {error.detail}") from None
    removed = (HOP_BY_HOP | ROUTER_FIELDS_IN_RESPONSES | tokens) - NEVER_REMOVED
    if bodyless:  # RFC 9110 §8.6, RFC 9112 §6.1: framing is not allowed; a client that used it would read past the end
        removed |= FRAMING
    kept = [text for name, text in fields if name not in removed]
    if upgrade:
        kept.append(WEBSOCKET)
    kept.append(via if http11 else via.replace(b"1.1", b"1.0", 1))
    status_line = b"HTTP/1.1" + raw[8 : raw.index(b"\n") + 1]
    keep_alive = b"close" not in tokens if http11 else b"keep-alive" in tokens
    timeout = _KEEP_ALIVE_TIMEOUT.search(lower)
    idle_s = max(float(timeout[1]) - 1.0, 0.0) if timeout else None
    keep_alive = keep_alive and (not bodyless or length in (0, UNTIL_CLOSE))  # a body may follow all the same
    downstream = status_line + b"".join(kept)
    return ResponseHead(status, keep_alive, length, downstream, has_request_id, idle_s, upgrade, kind, retry_after)


def begins_like_http(data: bytes) -> bool:
    """Return whether an incomplete head can become a response of HTTP/1."""
    return data.startswith(_HTTP) or _HTTP.startswith(data)


def not_http(data: bytes) -> UpstreamError:
    """Return the error of bytes that are no status line of HTTP/1. It shows at most that line, never the fields after it."""
    if _TLS_RECORD.match(data):
        detail = "the answer is TLS and not plain HTTP: write the endpoint as https://"
    elif _HTTP2_FRAME.match(data):
        detail = "the answer is HTTP/2 (gRPC is, too), and the router sends HTTP/1.1 to backends"
    else:
        line = re.split(rb"[\r\n]", data, maxsplit=1)[0][:_LINE_SHOWN_BYTES]
        detail = f"the status line is malformed: {line.decode('latin-1')!a}"
    return UpstreamError("response_status_line_malformed", detail)


def _kind_of(lower: bytes) -> int:
    found = _CONTENT_TYPE.search(lower)
    if found is None:
        return PLAIN
    return (_ENCODED_KINDS if _ENCODED.search(lower) else _KINDS)[found.lastindex or 0]


def _response_length(lower: bytes, http11: bool) -> int:
    lengths, codings = lower.count(b"\r\ncontent-length:"), lower.count(b"\r\ntransfer-encoding:")
    if codings:
        if lengths or codings > 1 or not http11:
            raise _ambiguous(lengths, codings)
        if not CHUNKED_LINE.search(lower):
            raise UpstreamError(
                "response_transfer_coding_unknown", "the transfer coding of the response is not chunked"
            )
        return CHUNKED
    if not lengths:
        return UNTIL_CLOSE
    found = LENGTH.search(lower)
    if lengths > 1:
        raise UpstreamError("response_content_length_repeated", "the response has more than one Content-Length")
    if found is None:
        raise UpstreamError("response_content_length_malformed", "the Content-Length of the response is malformed")
    return int(found[1])


def _ambiguous(lengths: int, codings: int) -> UpstreamError:
    """Return the error of an ambiguous framing (RFC 9112 §6.1)."""
    if codings > 1:
        return UpstreamError("response_transfer_encoding_repeated", "the response has more than one Transfer-Encoding")
    if lengths:
        return UpstreamError(
            "response_transfer_encoding_with_length", "the response has both Transfer-Encoding and Content-Length"
        )
    return UpstreamError("response_transfer_encoding_in_http_1_0", "the response has Transfer-Encoding in HTTP/1.0")
