"""60,000 generated chunked bodies, valid and hostile: the scanner agrees with regular expressions over the whole body.

Without --nightly it is a quarter of them. The reference reads a body in one piece, by the grammar of RFC 9112 §7.1. The scanner
gets the same bytes in random cuts. Lines are shorter than `LINE_BYTES_MAX`: test_chunks.py has the bounds on extensions.
"""

from __future__ import annotations

import re
from random import Random
from typing import Final, NamedTuple

import pytest

from router.proxy.http1.chunked import ChunkedBody, ChunkError
from tests.example_counts import examples

BODIES: Final = examples(10_000)
"""Bodies of each seed; there are six seeds."""
TRAILER_BYTES_MAX: Final = 120
LIMIT_BYTES: Final = 120
TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
EXTENSION: Final = rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?"
SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:" + EXTENSION + rb")*\r\n")
TRAILER: Final = re.compile(TOKEN + rb":[\t -~\x80-\xff]*")
NAMES: Final = (b"X-Sum", b"x_y", b"Digest", b"Content-Length", b"host", b"content_length")
HOSTILE: Final = (*map(bytes, zip(b'\r\n\x00;" \t0g-=\\\xff')), b"\r\n", b"0\r\n\r\n")


class Result(NamedTuple):
    """`end`: `done`, `unfinished`, or the code of the error. `out` is what is forwarded, `rest` the bytes after the body."""

    end: str
    out: bytes = b""
    rest: bytes = b""


def reference(body: bytes, *, decode: bool) -> Result:
    """Read a whole body with regular expressions."""
    at, total, out = 0, 0, b""
    while (line := SIZE_LINE.match(body, at)) is not None:
        size = int(line[1], 16)
        total += size
        if total > LIMIT_BYTES:
            return Result("body_too_large")
        if size == 0:
            return trailers(body, line.end(), out + (b"" if decode else line[0]), decode=decode)
        data, at = body[line.end() : line.end() + size], line.end() + size + 2
        if not b"\r\n".startswith(body[at - 2 : at]):
            return Result("bad_chunk")
        if at > len(body):
            return Result("unfinished")
        out += data if decode else line[0] + data + b"\r\n"
    return Result("bad_chunk" if b"\r\n" in body[at:] else "unfinished")


def trailers(body: bytes, start: int, out: bytes, *, decode: bool) -> Result:
    """Read what follows the last chunk."""
    section = re.compile(rb"(?s)\r\n|(.*?\r\n)\r\n").match(body, start)
    if section is None:
        return Result("unfinished")
    lines = (section[1] or b"").split(b"\r\n")[:-1]
    if len(section[1] or b"") > TRAILER_BYTES_MAX or not all(map(TRAILER.fullmatch, lines)):
        return Result("bad_chunk")
    kept = [line + b"\r\n" for line in lines if not dropped(line)]
    return Result("done", out if decode else b"".join((out, *kept, b"\r\n")), body[section.end() :])


def dropped(line: bytes) -> bool:
    return line.partition(b":")[0].lower().replace(b"_", b"-") in (b"content-length", b"host")


def scanned(body: bytes, random: Random, *, decode: bool) -> Result:
    """Read the body with the scanner, in random cuts, and feed again what it leaves for another turn."""
    scanner = ChunkedBody(LIMIT_BYTES, TRAILER_BYTES_MAX, decode=decode, lines_max=random.choice((1, 2, 1000)))
    out, at = b"", 0
    try:
        while at < len(body) and not scanner.done:
            cut = random.choice((1, 2, 3, 7, 50, 1000))
            part, at = body[at : at + cut], at + cut
            out += scanner.feed(part)
            while scanner.excess and not scanner.done:
                out += scanner.feed(scanner.data, scanner.end)
    except ChunkError as error:
        return Result(error.code)
    return Result("done", out, scanner.excess + body[at:]) if scanner.done else Result("unfinished")


def generated(random: Random) -> bytes:
    """Return a body; two of three are spoilt in one to three places or cut off."""
    parts = []
    for _ in range(random.randrange(6)):
        data = random.randbytes(random.choice((1, 2, 9, 16, 60)))
        size = random.choice((b"%x", b"%X", b"%04x", b"%015x")) % len(data)
        extension = random.choice((b"", b"", b"", b";a", b" ; a=b", b';c="d\\"e"', b";a;b=c"))
        parts.append(size + extension + b"\r\n" + data + b"\r\n")
    fields = [random.choice(NAMES) + b": v" for _ in range(random.choice((0, 0, 1, 3)))]
    body = b"".join((*parts, random.choice((b"0", b"000", b"0;x")), b"\r\n", *(field + b"\r\n" for field in fields)))
    body += b"\r\n" + random.choice((b"", b"GET / HTTP/1.1\r\n"))
    for _ in range(random.choice((0, 1, 3))):
        at = random.randrange(len(body))
        body = body[:at] + random.choice(HOSTILE) + body[at + random.choice((0, 1)) :]
    return body[: random.randrange(len(body))] if random.random() < 0.1 else body


@pytest.mark.parametrize("seed", range(6))
def test_the_scanner_agrees_with_regular_expressions(seed: int) -> None:
    random, ends = Random(seed), dict.fromkeys(("done", "unfinished", "bad_chunk", "body_too_large"), 0)
    for number in range(BODIES):
        body, decode = generated(random), random.random() < 0.5
        expected, found = reference(body, decode=decode), scanned(body, random, decode=decode)
        ends[expected.end] += 1
        if expected.end == "unfinished":  # the scanner may know already that no continuation is valid
            assert found.end in ("unfinished", "bad_chunk"), (number, body)
        else:
            assert found == expected, (number, body)
    assert min(ends.values()) > BODIES / 1000, ends
