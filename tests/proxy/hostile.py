"""Responses that break HTTP: what a backend may send, and what a client must never take for a whole message.

`whole`: the response itself is complete and may be shown with its status; what stands behind it must not be seen by anyone.
`closing`: the backend closes (or resets) after it; else it keeps the connection open and silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OK: Final = b"HTTP/1.1 200 OK\r\n"
LENGTH: Final = b"Content-Length: 5\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
HELLO: Final = b"5\r\nhello\r\n"
END: Final = b"0\r\n\r\n"
POISON: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One answer of a backend."""

    name: str
    raw: bytes
    whole: bool = False
    closing: str = ""
    method: bytes = b"GET"


def _lengths() -> list[Hostile]:
    values = (
        b"",
        b"+5",
        b"-5",
        b"0x5",
        b"5,5",
        b"5, 5",
        b"5, 6",
        b"5 5",
        b"five",
        b"1_0",
        b"5.0",
        b"5\x00",
        b"5;",
        b"\xb25",
    )
    values += (b"99999999999999999999", b"18446744073709551621", b'"5"', b"5\x0b", b",5", b"NaN")
    return [
        *(Hostile(f"length {value!r}", OK + b"Content-Length: " + value + b"\r\n\r\nhello") for value in values),
        Hostile("two equal lengths", OK + LENGTH * 2 + b"\r\nhello"),
        Hostile("two lengths", OK + LENGTH + b"Content-Length: 2\r\n\r\nhello"),
        Hostile("a space before the colon", OK + b"Content-Length : 5\r\n\r\nhello"),
        Hostile("length and chunked", OK + LENGTH + CHUNKED + b"\r\n" + HELLO + END),
        Hostile("chunked and length", OK + CHUNKED + LENGTH + b"\r\n" + HELLO + END),
        Hostile("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + HELLO + END),
    ]


def _codings() -> list[Hostile]:
    values = (
        b"",
        b"gzip",
        b"xchunked",
        b"identity",
        b"chunked, chunked",
        b"gzip, chunked",
        b"chunked, gzip",
        b",chunked",
    )
    values += (b"chunked;q=1", b'"chunked"', b"chunked\x0b", b"chun ked", b"\x00chunked")
    return [
        *(
            Hostile(f"coding {value!r}", OK + b"Transfer-Encoding: " + value + b"\r\n\r\n" + HELLO + END)
            for value in values
        ),
        Hostile("two codings", OK + CHUNKED * 2 + b"\r\n" + HELLO + END),
        Hostile("a tab before the colon", OK + b"Transfer-Encoding\t: chunked\r\n\r\n" + HELLO + END),
    ]


def _heads() -> list[Hostile]:
    return [
        Hostile("garbage", b"\x00\x01\x02 not HTTP at all\r\n\r\n"),
        Hostile("garbage before the status line", b"garbage\r\n" + OK + LENGTH + b"\r\nhello"),
        Hostile("an empty line before the status line", b"\r\n" + OK + LENGTH + b"\r\nhello"),
        Hostile("a space before the status line", b" " + OK + LENGTH + b"\r\nhello"),
        Hostile("HTTP/0.9", b"hello", closing="close"),
        Hostile("HTTP/2.0", b"HTTP/2.0 200 OK\r\n" + LENGTH + b"\r\nhello"),
        Hostile("HTTP/1.2", b"HTTP/1.2 200 OK\r\n" + LENGTH + b"\r\nhello"),
        Hostile("lower-case version", b"http/1.1 200 OK\r\n" + LENGTH + b"\r\nhello"),
        Hostile("ICY", b"ICY 200 OK\r\n" + LENGTH + b"\r\nhello"),
        *(
            Hostile(f"status {status!r}", b"HTTP/1.1 " + status + b" X\r\n" + LENGTH + b"\r\nhello")
            for status in (
                b"",
                b"20",
                b"2000",
                b"0200",
                b"000",
                b"099",
                b"-20",
                b"2e2",
                b"abc",
                b" 200",
                b"2 00",
                b"200\x00",
            )
        ),
        Hostile("a request", b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"),
        *(
            Hostile(f"field {line!r}", OK + LENGTH + line + b"\r\n\r\nhello")
            for line in (
                *(
                    b": a",
                    b"X",
                    b"X : a",
                    b" X: a",
                    b"X: a\x00",
                    b"X: a\rb",
                    b"X: a\nb",
                    b"X: a\x01",
                    b"X\x00: a",
                    b"X: a\r\n b",
                ),
                *(b"X(: a", b"X: a\x7f", b"X: a\x0bb", b"X: a\n\nHTTP/1.1 200 OK", b"\xff: a"),
            )
        ),
        Hostile("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
        Hostile("bare CR", b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello"),
        Hostile("an endless head", OK + b"X: yyyyyyyyyyyyy\r\n" * 4000),
        Hostile("an endless line", OK + b"X: " + b"y" * 70_000),
        Hostile("a huge head", OK + b"X: " + b"y" * 70_000 + b"\r\n" + LENGTH + b"\r\nhello"),
        Hostile("a flood of 100", b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + OK + LENGTH + b"\r\nhello"),
        Hostile("a flood of 103", b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 50 + OK + LENGTH + b"\r\nhello"),
        Hostile("103 and no more", b"HTTP/1.1 103 Early\r\n\r\n", closing="close"),
        Hostile("an unasked 101", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw"),
        Hostile(
            "an unasked 101 to websocket", b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw"
        ),
        Hostile("nothing", b"", closing="close"),
        Hostile("nothing, reset", b"", closing="reset"),
        Hostile("half a head", OK + b"Content-Len", closing="close"),
        Hostile("half a head, reset", OK + b"Content-Len", closing="reset"),
    ]


def _bodies() -> list[Hostile]:
    lines = (
        b"",
        b"-5",
        b"0x5",
        b" 5",
        b"5 ",
        b"5_",
        b"g",
        b"10000000000000005",
        b"5;a\n",
        b"5\x00",
        b'5;a="',
        b"5;",
        b"5,",
    )
    trailers = (b"X", b": a", b"X : a", b"X: a\x00", b"X: a\nb", b"X: a\r\n b", b"X: " + b"a" * 20_000)
    start = OK + CHUNKED + b"\r\n"
    return [
        *(Hostile(f"chunk {line[:20]!r}", start + line + b"\r\nhello\r\n" + END) for line in lines),
        *(Hostile(f"trailer {line[:20]!r}", start + HELLO + b"0\r\n" + line + b"\r\n\r\n") for line in trailers),
        Hostile("chunk ended by LF", start + b"5\nhello\r\n" + END),
        Hostile("data ended by LF", start + b"5\r\nhello\n" + END),
        Hostile("data longer than its chunk", start + b"5\r\nhello!\r\n" + END),
        Hostile("chunks without an end", start + HELLO, closing="close"),
        Hostile("chunks without an end, reset", start + HELLO, closing="reset"),
        Hostile("half a chunk", start + b"5\r\nhel", closing="close"),
        Hostile("half a last chunk", start + HELLO + b"0\r\n", closing="close"),
        Hostile("half a trailer", start + HELLO + b"0\r\nX: y\r\n", closing="close"),
        Hostile("less than its length", OK + LENGTH + b"\r\nhell", closing="close"),
        Hostile("less than its length, reset", OK + LENGTH + b"\r\nhell", closing="reset"),
        Hostile("no body for its length", OK + LENGTH + b"\r\n", closing="close"),
        Hostile("until the end, reset", OK + b"\r\nhello", closing="reset"),
    ]


BROKEN: Final = [*_lengths(), *_codings(), *_heads(), *_bodies()]

EXCESSIVE: Final = [
    Hostile("more than its length", OK + LENGTH + b"\r\nhello" + POISON, whole=True),
    Hostile("an answer behind chunks", OK + CHUNKED + b"\r\n" + HELLO + END + POISON, whole=True),
    Hostile("204 with a body", b"HTTP/1.1 204 X\r\n" + LENGTH + b"\r\n" + POISON[:5] + POISON, whole=True),
    Hostile("204 with chunks", b"HTTP/1.1 204 X\r\n" + CHUNKED + b"\r\n" + HELLO + END + POISON, whole=True),
    Hostile("204 with an answer behind it", b"HTTP/1.1 204 X\r\n\r\n" + POISON, whole=True),
    Hostile("204 that announces a body to come", b"HTTP/1.1 204 X\r\n" + LENGTH + b"\r\n", whole=True),
    Hostile("204 that announces chunks to come", b"HTTP/1.1 204 X\r\n" + CHUNKED + b"\r\n", whole=True),
    Hostile("304 with a body", b"HTTP/1.1 304 X\r\n" + LENGTH + b"\r\nhello" + POISON, whole=True),
    Hostile("304 with chunks", b"HTTP/1.1 304 X\r\n" + CHUNKED + b"\r\n" + HELLO + END + POISON, whole=True),
    Hostile("HEAD with a body", OK + LENGTH + b"\r\nhello" + POISON, whole=True, method=b"HEAD"),
    Hostile("HEAD with chunks", OK + CHUNKED + b"\r\n" + HELLO + END + POISON, whole=True, method=b"HEAD"),
    Hostile("a length of zero and a body", OK + b"Content-Length: 0\r\n\r\n" + POISON, whole=True),
]
