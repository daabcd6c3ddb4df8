"""Each of the 256 bytes at each place of a message (RFC 9110 §5, RFC 9112 §2 to §7): where it may stand, and where not."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_letters, ascii_uppercase, digits, hexdigits
from typing import Final

TOKEN: Final = frozenset((ascii_letters + digits + "!#$%&'*+-.^_`|~").encode())
VALUE: Final = frozenset((0x09, *range(0x20, 0x7F), *range(0x80, 0x100)))
UPPER: Final = frozenset(ascii_uppercase.encode())
METHOD: Final = UPPER | frozenset(digits.encode()) | frozenset(b"-_")
"""Narrower than a token: in the methods that are registered, and those that are extensions, nothing else is seen."""
TARGET: Final = frozenset((*range(0x21, 0x7F), *range(0x80, 0x100))) - frozenset(b"#")
"""Wider than RFC 3986 §3.3, as browsers and models' clients are; spaces, controls and fragments are refused."""
HOST: Final = frozenset((ascii_letters + digits + "-._~!$&'()*+;=").encode())
NONE: Final[frozenset[int]] = frozenset()
SPACE: Final = frozenset(b" \t")

START: Final = b"POST /a HTTP/1.1\r\nHost: t\r\n"
CHUNKED: Final = START + b"Transfer-Encoding: chunked\r\n\r\n"
END: Final = b"0\r\n\r\n"

REQUESTS: Final[tuple[tuple[str, bytes, bytes, frozenset[int]], ...]] = (
    # name, before, behind, what may stand between
    ("within a method", b"G", b"T /a HTTP/1.1\r\nHost: t\r\n\r\n", METHOD),
    ("before a method", b"", b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n", UPPER),
    ("behind a method", b"GET", b"/a HTTP/1.1\r\nHost: t\r\n\r\n", frozenset(b" ")),
    ("within a target", b"GET /a", b"b HTTP/1.1\r\nHost: t\r\n\r\n", TARGET),
    ("within a query", b"GET /?a", b"b HTTP/1.1\r\nHost: t\r\n\r\n", TARGET),
    ("behind a target", b"GET /a", b"HTTP/1.1\r\nHost: t\r\n\r\n", frozenset(b" ")),
    ("major version", b"GET /a HTTP/", b".1\r\nHost: t\r\n\r\n", frozenset(b"1")),
    ("minor version", b"GET /a HTTP/1.", b"\r\nHost: t\r\n\r\n", frozenset(b"01")),
    ("behind a version", b"GET /a HTTP/1.1", b"\r\nHost: t\r\n\r\n", NONE),
    ("behind a request line", b"GET /a HTTP/1.1\r", b"Host: t\r\n\r\n", frozenset(b"\n")),
    ("within a name", START + b"X", b"Y: v\r\n\r\n", TOKEN | frozenset(b":")),
    ("first of a name", START, b"Y: v\r\n\r\n", TOKEN),
    ("last of a name", START + b"X", b": v\r\n\r\n", TOKEN | frozenset(b":")),
    ("within a value", START + b"X: a", b"b\r\n\r\n", VALUE),
    ("first of a value", START + b"X:", b"b\r\n\r\n", VALUE),
    ("last of a value", START + b"X: a", b"\r\n\r\n", VALUE),
    ("a value", START + b"X: ", b"\r\n\r\n", VALUE),
    ("behind a line", START + b"X: a\r", b"Y: b\r\n\r\n", frozenset(b"\n")),
    ("behind a head", START + b"X: a\r\n\r", b"", frozenset(b"\n")),
    ("within a Host", b"GET /a HTTP/1.1\r\nHost: a", b"b\r\n\r\n", HOST),
    ("behind a Host", b"GET /a HTTP/1.1\r\nHost: a", b"\r\n\r\n", HOST | SPACE | frozenset(b":")),
    ("within a port", b"GET /a HTTP/1.1\r\nHost: a:8", b"0\r\n\r\n", frozenset(digits.encode())),
    ("within an authority", b"GET http://a", b"b/ HTTP/1.1\r\nHost: a\r\n\r\n", HOST | frozenset(b"/?")),
    ("before a coding", START + b"Transfer-Encoding:", b"chunked\r\n\r\n" + END, SPACE),
    ("behind a coding", START + b"Transfer-Encoding: chunked", b"\r\n\r\n" + END, SPACE),
    ("within a coding", START + b"Transfer-Encoding: chun", b"ked\r\n\r\n" + END, NONE),
    (
        "within the coding's name",
        START + b"Connection: close\r\nTransfer",
        b"Encoding: chunked\r\nX-B: \r\n\r\n" + END,
        TOKEN | frozenset(b":"),
    ),
    ("before a length", START + b"Content-Length:", b"5\r\n\r\nhello" + b"x" * 90, SPACE | frozenset(digits.encode())),
    ("behind a length", START + b"Content-Length: 5", b"\r\n\r\nhello" + b"x" * 54, SPACE | frozenset(digits.encode())),
    ("within a length", START + b"Content-Length: 0", b"5\r\n\r\nhello" + b"x" * 90, frozenset(digits.encode())),
    ("before a size", CHUNKED, b"5\r\nhello\r\n" + END, frozenset(b"0")),
    ("behind a size", CHUNKED + b"5", b"\r\nhello\r\n" + END, NONE),
    ("behind a last size", CHUNKED + b"0", b"\r\n\r\n", frozenset(b"0")),
    ("behind a size line", CHUNKED + b"5\r", b"hello\r\n" + END, frozenset(b"\n")),
    ("behind data", CHUNKED + b"5\r\nhello", b"\n" + END, frozenset(b"\r")),
    ("behind data's CR", CHUNKED + b"5\r\nhello\r", END, frozenset(b"\n")),
    ("first of an extension", CHUNKED + b"5;", b"a\r\nhello\r\n" + END, TOKEN | SPACE),
    ("an extension's value", CHUNKED + b"5;a=", b"\r\nhello\r\n" + END, TOKEN),
    ("within quotes", CHUNKED + b'5;a="', b'"\r\nhello\r\n' + END, VALUE - frozenset(b'"\\')),
    ("behind a backslash", CHUNKED + b'5;a="\\', b'"\r\nhello\r\n' + END, VALUE),
    ("within a trailer's name", CHUNKED + b"0\r\nX", b"Y: v\r\n\r\n", TOKEN | frozenset(b":")),
    ("first of a trailer's name", CHUNKED + b"0\r\n", b"Y: v\r\n\r\n", TOKEN),
    ("within a trailer's value", CHUNKED + b"0\r\nX: a", b"b\r\n\r\n", VALUE),
    ("behind the last chunk", CHUNKED + b"0\r\n", b"\n", frozenset(b"\r")),
)
"""Where a digit lengthens a size or a length, the body is long enough for it."""

OK: Final = b"HTTP/1.1 200 OK\r\n"
LENGTH: Final = OK + b"Content-Length: 5\r\n"
CHUNKS: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"

RESPONSES: Final[tuple[tuple[str, bytes, bytes, frozenset[int]], ...]] = (
    ("before a version", b"", LENGTH + b"\r\nhello", NONE),
    ("major version", b"HTTP/", b".1 200 OK\r\nContent-Length: 5\r\n\r\nhello", frozenset(b"1")),
    ("minor version", b"HTTP/1.", b" 200 OK\r\nContent-Length: 5\r\n\r\nhello", frozenset(b"01")),
    ("behind a version", b"HTTP/1.1", b"200 OK\r\nContent-Length: 5\r\n\r\nhello", frozenset(b" ")),
    ("within a status", b"HTTP/1.1 2", b"0 OK\r\nContent-Length: 5\r\n\r\nhello", frozenset(digits.encode())),
    ("behind a status", b"HTTP/1.1 200", b"OK\r\nContent-Length: 5\r\n\r\nhello", frozenset(b" ")),
    ("within a reason", b"HTTP/1.1 200 O", b"K\r\nContent-Length: 5\r\n\r\nhello", VALUE),
    ("within a name", LENGTH + b"X", b"Y: v\r\n\r\nhello", TOKEN | frozenset(b":")),
    ("first of a name", LENGTH, b"Y: v\r\n\r\nhello", TOKEN),
    ("last of a name", LENGTH + b"X", b": v\r\n\r\nhello", TOKEN | frozenset(b":")),
    ("within a value", LENGTH + b"X: a", b"b\r\n\r\nhello", VALUE),
    ("first of a value", LENGTH + b"X:", b"b\r\n\r\nhello", VALUE),
    ("last of a value", LENGTH + b"X: a", b"\r\n\r\nhello", VALUE),
    ("before a length", OK + b"Content-Length:", b"5\r\n\r\nhello", SPACE | frozenset(b"0")),
    ("behind a length", OK + b"Content-Length: 5", b"\r\n\r\nhello", SPACE),
    ("before a coding", OK + b"Transfer-Encoding:", b"chunked\r\n\r\n" + END, SPACE),
    ("behind a coding", OK + b"Transfer-Encoding: chunked", b"\r\n\r\n" + END, SPACE),
    ("within a coding", OK + b"Transfer-Encoding: chun", b"ked\r\n\r\n" + END, NONE),
    ("before a size", CHUNKS, b"5\r\nhello\r\n" + END, frozenset(b"0")),
    ("behind a size", CHUNKS + b"5", b"\r\nhello\r\n" + END, NONE),
    ("behind data", CHUNKS + b"5\r\nhello", b"\n" + END, frozenset(b"\r")),
    ("within a trailer's name", CHUNKS + b"0\r\nX", b"Y: v\r\n\r\n", TOKEN | frozenset(b":")),
    ("within a trailer's value", CHUNKS + b"0\r\nX: a", b"b\r\n\r\n", VALUE),
)


LONGER: Final = frozenset(hexdigits.encode())
NUMBERS: Final = (b"Length:", b"Length: 5", b"chunked\r\n\r\n", b"\n5", b"\n0")
"""Behind these a digit makes a number that is greater than what follows is long."""


def filled(before: bytes, behind: bytes, allowed: frozenset[int]) -> Iterator[tuple[bytes, bool]]:
    """Yield the message with each byte in the gap, and whether it is valid; without those that are valid and lack a part."""
    for byte in range(256):
        if byte in LONGER and before.endswith(NUMBERS) and byte not in allowed:
            continue
        yield before + bytes((byte,)) + behind, byte in allowed
