"""Valid requests that are rarely seen: each must reach the backend with its target, body and end-to-end fields unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Unusual:
    """`line` is the request line, and `fields` what of the fields must arrive, in this order and byte for byte."""

    name: str
    raw: bytes
    line: bytes
    fields: tuple[bytes, ...] = ()
    body: bytes = b""
    gone: tuple[bytes, ...] = ()
    """Names, in lower case, that must not arrive."""


def _target(target: bytes) -> Unusual:
    line = b"GET " + target + b" HTTP/1.1"
    return Unusual(f"target {target[:30]!r}", line + b"\r\nHost: t\r\n\r\n", line)


def _field(*fields: bytes) -> Unusual:
    line = b"GET /a HTTP/1.1"
    raw = line + b"\r\nHost: t\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"
    return Unusual(f"field {fields[0][:40]!r} of {len(fields)}", raw, line, fields)


def _method(method: bytes, body: bytes) -> Unusual:
    line, length = method + b" /a HTTP/1.1", b"Content-Length: %d" % len(body)
    return Unusual(
        f"{method.decode()} {len(body)}", line + b"\r\nHost: t\r\n" + length + b"\r\n\r\n" + body, line, (length,), body
    )


def _chunked(name: str, coding: bytes, body: bytes, arrives: bytes | None = None) -> Unusual:
    line, field = b"POST /a HTTP/1.1", b"Transfer-Encoding:" + coding
    raw = line + b"\r\nHost: t\r\n" + field + b"\r\n\r\n" + body
    return Unusual(
        f"chunked: {name}", raw, line, (b"Transfer-Encoding: chunked",), body if arrives is None else arrives
    )


def _dropped(name: bytes, *fields: bytes) -> Unusual:
    line = b"GET /a HTTP/1.1"
    raw = line + b"\r\nHost: t\r\n" + b"".join(field + b"\r\n" for field in fields) + b"X-Kept: y\r\n\r\n"
    return Unusual(f"without {fields!r}", raw, line, (b"X-Kept: y",), gone=(name,))


GET: Final = b"GET /a HTTP/1.1"
HELLO: Final = b"5\r\nhello\r\n0\r\n\r\n"

UNUSUAL: Final = [
    *map(
        _target,
        (
            b"//",
            b"//a//b",
            b"/../a",
            b"/a/./b",
            b"/a;b=c",
            b"/%00",
            b"/%2e%2e/%2F",
            b"/%zz",
            b"/a?b?c=/&d",
            b"/?",
            b"/:@!$'()*+,=",
        ),
    ),
    *map(
        _target,
        (
            b"/\x80\xff",
            b"/\xc3\xa4?\xe2\x82\xac",
            b"/a_b",
            b"/a|b{c}",
            b"/~",
            b"/" + b"a" * 8000,
            b"/http://u/b",
            b"/*",
        ),
    ),
    *map(
        _field,
        (
            b"X: \x80\xff",
            b"X: a\tb",
            b"X:",
            b"X: ",
            b"X:a",
            b"X:  a  b  ",
            b"X:\ta",
            b'X: "a, \\"b"',
            b"!#$%&'*+-.^`|~09: a",
        ),
    ),
    *map(
        _field,
        (
            b"X: " + b"a" * 20_000,
            b"X-Under_Score: a",
            b"x: (comment)",
            b"Authorization: Bearer a.b=",
            b"traceparent: 00-a-b-01",
        ),
    ),
    _field(b"Cookie: a=b", b"Cookie: c=d"),
    _field(b"Accept: a/b", b"accept: c/d", b"ACCEPT: e/f"),
    _field(*(b"X%d: y" % number for number in range(90))),
    _field(b"X-Request-ID: mine", b"Range: bytes=0-1"),
    _method(b"GET", b"hello"),
    _method(b"DELETE", b"hello"),
    _method(b"PATCH", b"hello"),
    _method(b"POST", b""),
    _method(b"PUT", b"\x00\r\n\r\n\xff"),
    _method(b"OPTIONS", b"hello"),
    _method(b"BREW", b"hello"),
    _method(b"PLAY", b""),
    _method(b"VERSION-CONTROL", b"hello"),
    _method(b"X_2", b"hello"),
    _method(b"POST", b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"),
    _chunked("plain", b" chunked", HELLO),
    _chunked("in upper case", b" CHUNKED", HELLO),
    _chunked("in mixed case", b" Chunked", HELLO),
    _chunked("without a space", b"chunked", HELLO),
    _chunked("between tabs", b"\tchunked\t", HELLO),
    _chunked("between spaces", b"   chunked   ", HELLO),
    _chunked("extensions", b" chunked", b'5;a;b=c;d="e;\\"f"\r\nhello\r\n0;x\r\n\r\n'),
    _chunked("leading zeroes", b" chunked", b"0005\r\nhello\r\n000\r\n\r\n"),
    _chunked("upper-case size", b" chunked", b"A\r\n0123456789\r\n0\r\n\r\n"),
    _chunked("empty", b" chunked", b"0\r\n\r\n"),
    _chunked("trailers", b" chunked", b"1\r\na\r\n0\r\nX-Sum: 1\r\nX-B:\r\n\r\n"),
    _chunked(
        "forbidden trailers", b" chunked", b"0\r\nHost: u\r\nX: y\r\nContent-Length: 1\r\n\r\n", b"0\r\nX: y\r\n\r\n"
    ),
    _dropped(b"te", b"TE: trailers", b"Connection: TE"),
    _dropped(b"x-hop", b"X-Hop: 1", b"Connection: x-hop"),
    _dropped(b"connection", b"Connection: keep-alive", b"Connection: keep-alive"),
    _dropped(b"upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AA", b"Connection: Upgrade, HTTP2-Settings"),
    _dropped(b"proxy-authorization", b"Proxy-Authorization: a"),
    Unusual("absolute-form", b"GET http://t/a?b HTTP/1.1\r\nHost: u\r\n\r\n", b"GET /a?b HTTP/1.1", (b"Host: t",)),
    Unusual(
        "absolute-form without a path",
        b"GET http://t?b HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET /?b HTTP/1.1",
        (b"Host: t",),
    ),
    Unusual(
        "absolute-form in capitals",
        b"GET HTTP://T:80/ HTTP/1.1\r\nHost: t\r\n\r\n",
        b"GET / HTTP/1.1",
        (b"Host: T:80",),
    ),
    Unusual("asterisk-form", b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", b"OPTIONS * HTTP/1.1", (b"Host: t",)),
    Unusual("a Host in capitals", GET + b"\r\nHOST: Te.St:8080\r\n\r\n", GET, (b"Te.St:8080",)),
    Unusual("an address as Host", GET + b"\r\nHost: [::1]:80\r\n\r\n", GET, (b"Host: [::1]:80",)),
    Unusual("leading empty line", b"\r\n" + GET + b"\r\nHost: t\r\n\r\n", GET, (b"Host: t",)),
    Unusual("HTTP/1.0 kept alive", b"GET /a HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n\r\n", GET, (b"Host: t",)),
    Unusual(
        "HTTP/1.0 with a body",
        b"POST /a HTTP/1.0\r\nHost: t\r\nContent-Length: 1\r\n\r\na",
        b"POST /a HTTP/1.1",
        body=b"a",
    ),
    Unusual(
        "asterisk-form in absolute-form",
        b"OPTIONS http://t:1 HTTP/1.1\r\nHost: u\r\n\r\n",
        b"OPTIONS * HTTP/1.1",
        (b"Host: t:1",),
    ),
    Unusual(
        "options of the root", b"OPTIONS http://t/ HTTP/1.1\r\nHost: u\r\n\r\n", b"OPTIONS / HTTP/1.1", (b"Host: t",)
    ),
    Unusual("four empty lines", b"\r\n" * 4 + GET + b"\r\nHost: t\r\n\r\n", GET, (b"Host: t",)),
    Unusual("tabs around Host", GET + b"\r\nHost:\tt\t\r\n\r\n", GET),
    Unusual("as many fields as may be", GET + b"\r\nHost: t\r\n" + b"X: y\r\n" * 99 + b"\r\n", GET, (b"X: y",) * 99),
    Unusual(
        "as many bytes as a head may have",
        GET + b"\r\nHost: t\r\nX: " + b"a" * (32768 - len(GET + b"\r\nHost: t\r\nX: \r\n\r\n")) + b"\r\n\r\n",
        GET,
        (b"Host: t",),
    ),
    _chunked("a size of 15 digits", b" chunked", b"000000000000005\r\nhello\r\n000000000000000\r\n\r\n"),
    _chunked("a size in both cases", b" chunked", b"aA\r\n" + b"x" * 170 + b"\r\n0\r\n\r\n"),
    _chunked("a request as a chunk", b" chunked", b"12\r\nGET / HTTP/1.1\r\n\r\n\r\n0\r\n\r\n"),
    Unusual(
        "a length of 18 digits",
        b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 000000000000000005\r\n\r\nhello",
        b"POST /a HTTP/1.1",
        (b"Content-Length: 000000000000000005",),
        b"hello",
    ),
    Unusual(
        "a length between tabs",
        b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length:\t5\t\r\n\r\nhello",
        b"POST /a HTTP/1.1",
        (b"Content-Length:\t5\t",),
        b"hello",
    ),
    Unusual(
        "an expectation in capitals",
        b"POST /a HTTP/1.1\r\nHost: t\r\nExpect:\t100-CONTINUE\r\nContent-Length: 1\r\n\r\na",
        b"POST /a HTTP/1.1",
        (b"Content-Length: 1",),
        b"a",
    ),
    _field(b"Transfer.Encoding: chunked", b"X-Content-Length: 5", b"Content-Length-X: 5", b"Content-Encoding: chunked"),
    _field(b"X:y:z", b"X-HTTP-Method-Override: DELETE", b"Date: never", b"Trailer: X-Sum"),
    _dropped(b"connection", b"Connection: ,, keep-alive ,,"),
    _dropped(b"upgrade", b"Upgrade: TLS/1.0", b"Connection: Upgrade"),
    _dropped(b"te", b"TE: chunked", b"Connection: te, close, te"),
    _dropped(b"proxy-connection", b"Proxy-Connection: keep-alive", b"Keep-Alive: timeout=5"),
]
