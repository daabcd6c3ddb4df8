"""Requests that no HTTP/1.1 recipient may understand in two ways: each is refused, and no backend gets a whole request of it.

Written from RFC 9110 and RFC 9112. A case names the statuses that are right. `partial`: if the head comes before the
fault, the backend may get the beginning of the request, but never its end. `served` valid requests stand before the fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HIDDEN: Final = b"GET /hidden HTTP/1.1\r\nHost: t\r\n\r\n"
"""What an attacker would have a backend take for a request of its own."""


@dataclass(frozen=True, slots=True)
class Bad:
    """One refused input; `raw` is all that the client sends."""

    name: str
    raw: bytes
    statuses: tuple[int, ...] = (400,)
    partial: bool = False
    served: int = 0


def with_lines(
    *lines: bytes, body: bytes = b"", start: bytes = b"POST /a HTTP/1.1", host: bytes = b"Host: t\r\n"
) -> bytes:
    return start + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def with_field(name: str, line: bytes, *statuses: int, body: bytes = HIDDEN) -> Bad:
    return Bad(name, with_lines(line, body=body), statuses or (400,))


LENGTH: Final = b"Content-Length: "
CHUNKED: Final = b"Transfer-Encoding: chunked"
EMPTY_BODY: Final = b"0\r\n\r\n"

LENGTHS: Final = [
    *(
        with_field(f"length {value!r}", LENGTH + value)
        for value in (
            *(
                b"",
                b"+5",
                b"-5",
                b"0x5",
                b"5,",
                b",5",
                b"5, 5",
                b"5,5",
                b"5, 6",
                b"5 5",
                b"5;5",
                b"5.0",
                b"5e1",
                b"five",
            ),
            *(
                b"1_0",
                b"0b1",
                b"\xb25",
                b"\xd9\xa5",
                b"99999999999999999999",
                b"18446744073709551621",
                b'"5"',
                b"5\x0b",
            ),
            *(
                b"5\x0c",
                b"\x0b5",
                b"5\x00",
                b"5\x7f",
                b"5\r",
                b"5\n",
                b"5 chunked",
                b"NaN",
                b"5\t6",
                b"'5'",
                b"--5",
                b"5-",
            ),
        )
    ),
    Bad("two equal lengths", with_lines(LENGTH + b"5", LENGTH + b"5", body=b"hello")),
    Bad("two lengths", with_lines(LENGTH + b"0", LENGTH + b"35", body=HIDDEN)),
    Bad("two lengths in other cases", with_lines(LENGTH + b"0", b"content-length: 35", body=HIDDEN)),
    Bad("a valid and an empty length", with_lines(LENGTH + b"5", LENGTH, body=b"hello")),
    Bad("three lengths", with_lines(LENGTH + b"5", b"X: y", LENGTH + b"5", LENGTH + b"6", body=b"hello!")),
]

CODINGS: Final = [
    Bad("length and chunked", with_lines(LENGTH + b"5", CHUNKED, body=EMPTY_BODY + HIDDEN)),
    Bad("chunked and length", with_lines(CHUNKED, LENGTH + b"5", body=EMPTY_BODY + HIDDEN)),
    Bad("chunked and a length of zero", with_lines(CHUNKED, LENGTH + b"0", body=EMPTY_BODY)),
    Bad("length and an unknown coding", with_lines(LENGTH + b"5", b"Transfer-Encoding: x", body=b"hello"), (400, 501)),
    Bad("length and an empty coding", with_lines(LENGTH + b"5", b"Transfer-Encoding:", body=b"hello"), (400, 501)),
    *(
        with_field(f"coding {value!r}", b"Transfer-Encoding: " + value, 400, 501, body=EMPTY_BODY + HIDDEN)
        for value in (
            *(
                b"",
                b"identity",
                b"xchunked",
                b"chunkedx",
                b"gzip",
                b"chunked, gzip",
                b"gzip, chunked",
                b"chunked,chunked",
            ),
            *(b"chunked, chunked", b",chunked", b"chunked,", b", chunked", b"chunked, identity", b"identity, chunked"),
            *(
                b'"chunked"',
                b"'chunked'",
                b"chunked;q=1",
                b"chunked; x",
                b"chunked\x0b",
                b"\x0bchunked",
                b"\x0cchunked",
            ),
            *(b"chunked\x00", b"\x00chunked", b"chun ked", b"chunked \x01", b"chunke", b"\xff chunked", b"chunked\xa0"),
            *(
                b"\xa0chunked",
                b"chunked gzip",
                b"cow",
                b"chunked\r",
                b"chunked\n",
                b"\r chunked",
                b"\nchunked",
                b"chu\tnked",
            ),
            *(
                b"=chunked",
                b"/chunked",
                b"(chunked)",
                b"chunked()",
                b"c\xc5\xbfhunked",
                b"compress",
                b"deflate",
                b"trailers",
            ),
        )
    ),
    Bad("two codings", with_lines(CHUNKED, CHUNKED, body=EMPTY_BODY + HIDDEN), (400, 501)),
    Bad("chunked, then identity", with_lines(CHUNKED, b"Transfer-Encoding: identity", body=EMPTY_BODY), (400, 501)),
    Bad("identity, then chunked", with_lines(b"Transfer-Encoding: identity", CHUNKED, body=EMPTY_BODY), (400, 501)),
    Bad("chunked, then nothing", with_lines(CHUNKED, b"Transfer-Encoding:", body=EMPTY_BODY), (400, 501)),
    Bad("chunked in HTTP/1.0", with_lines(CHUNKED, body=EMPTY_BODY + HIDDEN, start=b"POST / HTTP/1.0")),
    Bad(
        "chunked and length in HTTP/1.0", with_lines(CHUNKED, LENGTH + b"5", body=EMPTY_BODY, start=b"POST / HTTP/1.0")
    ),
    Bad("unknown coding in HTTP/1.0", with_lines(b"Transfer-Encoding: x", start=b"POST / HTTP/1.0"), (400, 501)),
]

LOOK_ALIKES: Final = [
    # Left out, and the request is served; what follows its head is no request.
    *(
        Bad(f"look-alike {name!r}", with_lines(name + b": " + value, body=EMPTY_BODY + HIDDEN), served=1)
        for name, value in (
            *((b"Transfer_Encoding", b"chunked"), (b"TRANSFER_ENCODING", b"chunked"), (b"Content_Length", b"35")),
            *((b"content_length", b"35"), (b"X_Forwarded_For", b"127.0.0.1"), (b"X-Forwarded_Proto", b"https")),
            *((b"X_Real_IP", b"127.0.0.1"), (b"Content_Type", b"text/plain"), (b"Proxy_Authorization", b"x")),
            *((b"X_Request_ID", b"a"), (b"Transfer.Encoding", b"chunked"), (b"Content~Length", b"35")),
        )
    ),
    *(
        with_field(f"look-alike {name!r}", name + b": " + value, body=EMPTY_BODY + HIDDEN)
        for name, value in (
            *((b"Transfer-Encoding ", b"chunked"), (b"Transfer-Encoding\t", b"chunked")),
            *((b"Content-Length ", b"35"), (b"Content-Length\t", b"35"), (b"Transfer-Encoding\x00", b"chunked")),
            *((b"Transfer Encoding", b"chunked"), (b"Content Length", b"35"), (b"Transfer-Encoding\x0b", b"chunked")),
            *((b"\x00Transfer-Encoding", b"chunked"), (b"Transfer-\xc4\x94ncoding", b"chunked")),
        )
    ),
    Bad("look-alike of Host", with_lines(b"X: y", host=b"Host_: t\r\n")),
]

OVERSIZED: Final = [
    Bad("endless target", b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", (414, 431)),
    Bad("endless request line", b"GET /" + b"a" * 40_000, (400, 414, 431)),
    Bad("endless value", with_lines(b"X: " + b"a" * 40_000), (431,)),
    Bad("endless name", with_lines(b"X" * 40_000 + b": a"), (400, 431)),
    Bad("endless head", b"GET / HTTP/1.1\r\nHost: t\r\n" + b"X: yyyyyyyyyyyy\r\n" * 3000, (431,)),
    Bad("101 fields", with_lines(*(b"X: y" for _ in range(100))), (431,)),
    Bad("5000 fields", with_lines(*(b"X:y" for _ in range(5000))), (431,)),
    Bad("endless Host", b"GET / HTTP/1.1\r\nHost: " + b"a" * 40_000 + b"\r\n\r\n", (400, 431)),
    Bad("body over the limit", with_lines(LENGTH + b"9999999999"), (413,)),
    Bad("body far over the limit", with_lines(LENGTH + b"999999999999999999"), (413,)),
]


def _chunks(name: str, body: bytes, *statuses: int) -> Bad:
    return Bad(f"chunks: {name}", with_lines(CHUNKED, body=body), statuses or (400,), partial=True)


CHUNKS: Final = [
    *(
        _chunks(f"size line {line!r}", line + b"\r\nhello\r\n0\r\n\r\n")
        for line in (
            *(
                b"",
                b"-5",
                b"+5",
                b"0x5",
                b"0X5",
                b"5_",
                b"_5",
                b"5h",
                b"g",
                b" 5",
                b"\t5",
                b"5 ",
                b"5\t",
                b"5 5",
                b"5,",
                b"5.0",
            ),
            *(
                b"00000000000000005",
                b"10000000000000005",
                b"FFFFFFFFFFFFFFFFF",
                b"5\x00",
                b"\x005",
                b"5\x0b",
                b"5\x0c;a",
            ),
            *(
                b"5\r",
                b"5\n",
                b"\n5",
                b"\r5",
                b"5;a\nb",
                b"5;a\rb",
                b"5;\x00",
                b"5;a=\x00",
                b'5;a="',
                b'5;a="b',
                b'5;a="\x01"',
            ),
            *(
                b"5;",
                b"5;;a",
                b"5;=a",
                b"5;a=",
                b"5;a b",
                b"5 a",
                b"5=a",
                b'5;"a"=b',
                b"\xef\xbc\x95",
                b"5;a\x7f",
                b"5#a",
                b"5;a;",
            ),
            *(b"5;" + b"a" * 5000, b"0" * 5000 + b"5"),
        )
    ),
    _chunks("size line ended by LF", b"5\nhello\r\n0\r\n\r\n"),
    _chunks("data ended by LF", b"5\r\nhello\n0\r\n\r\n"),
    _chunks("data ended by CR", b"5\r\nhello\r0\r\n\r\n"),
    _chunks("data ended by nothing", b"5\r\nhello0\r\n\r\n"),
    _chunks("data longer than its size", b"5\r\nhello!\r\n0\r\n\r\n"),
    _chunks("data shorter than its size", b"5\r\nhell\r\n0\r\n\r\n" + HIDDEN),
    _chunks("last chunk ended by LF", b"5\r\nhello\r\n0\n\r\n"),
    _chunks("last chunk ended by CR", b"5\r\nhello\r\n0\r\r\n"),
    _chunks("a request where the trailer ends by LF", b"0\r\n\n" + HIDDEN),
    _chunks("a request in the trailer section", b"0\r\n" + HIDDEN),
    _chunks("a negative last chunk", b"-0\r\n\r\n"),
    _chunks("a space before the last chunk", b" 0\r\n\r\n"),
    _chunks("two empty lines between chunks", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    _chunks("no size at all", HIDDEN),
    *(
        _chunks(f"trailer {line!r}", b"0\r\n" + line + b"\r\n\r\n")
        for line in (
            *(
                b"X",
                b": a",
                b"X : a",
                b" X: a",
                b"X: a\x00",
                b"X: a\nY: b",
                b"X: a\rb",
                b"X: a\r\n b",
                b"X\x00: a",
                b"X\xff: a",
            ),
            *(b"X: \x7f", b"X: " + b"a" * 20_000, b"X: y\r\n" * 4000 + b"X: y", b"(X): a", b"X: a\x0bb"),
        )
    ),
    _chunks("body over the limit", b"ffffffff\r\nhello", 413),
    _chunks("body far over the limit", b"fffffffffffffff\r\nhello", 413),
    _chunks("extensions without end", b"1;a=%b\r\nx\r\n" % (b"b" * 4000) * 20 + b"0\r\n\r\n"),
]

VALID: Final = b"GET /first HTTP/1.1\r\nHost: t\r\n\r\n"
PIPELINED: Final = [
    Bad("garbage behind a request", VALID + b"GARBAGE\r\n\r\n", served=1),
    Bad("garbage behind two", VALID * 2 + b"\x00\r\n\r\n", served=2),
    Bad("body behind a request without a length", VALID + b"x=1&y=2\r\n\r\n" + HIDDEN, served=1),
    Bad("body longer than its length", with_lines(LENGTH + b"5", body=b"hello!") + HIDDEN, (400, 501), served=1),
    Bad("ambiguous framing behind a request", VALID + with_lines(LENGTH + b"5", CHUNKED, body=EMPTY_BODY), served=1),
    Bad("no Host behind a request", VALID + b"GET / HTTP/1.1\r\n\r\n", served=1),
    Bad("garbage behind chunks", with_lines(CHUNKED, body=b"1\r\na\r\n0\r\n\r\nX\r\n\r\n"), served=1),
    Bad("HTTP/0.9 behind a request", VALID + b"GET /hidden\r\n\r\n", served=1),
]

FRAMING: Final = [*LENGTHS, *CODINGS, *LOOK_ALIKES, *OVERSIZED, *CHUNKS, *PIPELINED]
