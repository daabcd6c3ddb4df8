"""Finds the end of a chunked body without re-chunking it (RFC 9112 §7.1).

The parser is strict: a size has at most 15 hexadecimal digits, extensions follow the grammar, every line ends in CRLF. Only
parsed bytes are forwarded, so the output is exactly one well-formed body. Trailer fields that would frame, route or authenticate
are dropped (RFC 9110 §6.5.1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from router.errors import RouterError
from router.proxy.http1.fields import CHUNKED
from router.proxy.http1.lookalikes import FOLDED

if TYPE_CHECKING:
    from router.proxy.options import Options

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'

_SIZE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*"
)

_PARTIAL_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}(?:[ \t]*;[^\r\n\x00]*|[ \t]*)?\r?")

_TRAILER_FIELD: Final = re.compile(rb"(" + _TOKEN + rb"):[\t \x21-\x7e\x80-\xff]*")

_FORBIDDEN_TRAILERS: Final = frozenset(
    b"""transfer-encoding content-length host connection keep-alive te trailer upgrade
    authorization proxy-authorization proxy-authenticate cookie set-cookie expect
    content-encoding content-type content-range max-forwards cache-control forwarded
    x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-real-ip
    x-request-id x-served-version x-router-error""".split()
)

LINE_BYTES_MAX: Final = 4096
"""Longest size line with its extensions; real ones have under 20 bytes."""

_EXCESS_BYTES_MAX: Final = LINE_BYTES_MAX * 4

_SIZE_DIGITS_MAX: Final = 15

_SIZE_LINE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkError(RouterError):
    """The chunked framing is broken; `code` is `bad_chunk` or `body_too_large`."""


class ChunkedBody:
    """A scanner that is fed the body as it arrives, in any fragmentation.

    `decode` returns only the payload (for a client of HTTP/1.0). After `done`, `data` from `end` on is the data after the body.
    With `lines_max` one call reads at most so many size lines, so that tiny chunks do not block the event loop: `data` from
    `end` on is then the rest, to be fed again.
    """

    def __init__(
        self, body_bytes_max: int, trailer_bytes_max: int, *, decode: bool = False, lines_max: int = 1 << 62
    ) -> None:
        self.done = False
        self.data = b""
        self.end = 0
        self._state = _SIZE_LINE
        self._left = 0
        self._budget = body_bytes_max
        self._trailer_bytes_max = trailer_bytes_max
        self._lines_max = lines_max
        self._excess_count = 0
        self._decode = decode
        self._kept = b""

    @property
    def excess(self) -> bytes:
        """The data after the body, or the rest to be fed again."""
        return self.data[self.end :]

    def feed(self, data: bytes, start: int = 0) -> bytes:
        """Return the bytes of `data` from `start` on to forward; raise ChunkError at the first byte that cannot be part of a
        valid body.
        """
        if self._kept:
            data, start, self._kept = self._kept + data[start:], 0, b""
        self.data = data
        if self._state == _TRAILERS:
            return self._trailers(start)
        text = data  # compiled, a char *: its octets are no objects
        position, lines = start, 0
        payload: list[bytes] = []
        end = len(data)
        while position < end:
            if self._state == _DATA:
                taken = min(self._left, end - position)
                if self._decode:
                    payload.append(data[position : position + taken])
                position += taken
                self._left -= taken
                if self._left == 0:
                    self._state = _DATA_END
            elif self._state == _DATA_END:
                if text[position] != 13 or (position + 1 < end and text[position + 1] != 10):
                    raise ChunkError("bad_chunk", "chunk data is not followed by CRLF")
                if end - position < 2:
                    break
                position += 2
                self._state = _SIZE_LINE
            else:
                if lines == self._lines_max:
                    self.end = position
                    return b"".join(payload) if self._decode else data[start:position]
                lines += 1
                line_end = self._size_line(data, position)
                if line_end < 0:
                    break
                position = line_end
                if self._state == _TRAILERS:
                    out = b"".join(payload) if self._decode else data[start:position]
                    return out + self._trailers(position)
        self.data, self.end = b"", 0
        self._kept = data[position:] if position < end else b""
        if self._decode:
            return b"".join(payload)
        return data if start == 0 and position == end else data[start:position]

    def _size_line(self, data: bytes, start: int) -> int:
        """Read a size line, and return where it ends; -1 if it is incomplete."""
        text = data
        size, position, end = 0, start, min(len(data) - 1, start + _SIZE_DIGITS_MAX)
        while position < end:
            octet = text[position]
            if 48 <= octet <= 57:
                size = size * 16 + octet - 48
            elif 97 <= octet <= 102 or 65 <= octet <= 70:
                size = size * 16 + (octet & 7) + 9
            else:
                break
            position += 1
        if position > start and position < len(data) - 1 and text[position] == 13 and text[position + 1] == 10:
            line_end = position
            self._left = size
        else:
            line_end = self._size_line_slow(data, start)
            if line_end < 0:
                return -1
        # A few bytes of payload in each 4 KiB of extensions would cost the router and the backend much and the sender little.
        # Extensions may have the payload's size plus 16 bytes a line; the excess over the whole body is bounded.
        self._excess_count = max(0, self._excess_count + line_end - start - 16 - self._left)
        if self._excess_count > _EXCESS_BYTES_MAX:
            raise ChunkError("bad_chunk", "the chunk extensions exceed the payload by too much")
        self._budget -= self._left
        if self._budget < 0:
            raise ChunkError("body_too_large", "the chunks together exceed body_bytes_max")
        self._state = _DATA if self._left else _TRAILERS
        return line_end + 2

    def _size_line_slow(self, data: bytes, start: int) -> int:
        """Read a size line with more than digits; return where its CRLF begins, -1 if it is incomplete."""
        line_end = data.find(b"\r\n", start, start + LINE_BYTES_MAX)
        if line_end < 0:
            if len(data) - start >= LINE_BYTES_MAX or not _PARTIAL_SIZE.fullmatch(data, start):
                raise ChunkError("bad_chunk", f"chunk size {data[start : start + 32]!r} is malformed or too long")
            return -1
        match = _SIZE.fullmatch(data, start, line_end)
        if match is None:
            raise ChunkError("bad_chunk", f"chunk size {data[start : min(line_end, start + 32)]!r} is malformed")
        self._left = int(match[1], 16)
        return line_end

    def _trailers(self, start: int) -> bytes:
        """Read the section after the last chunk: fields, then an empty line. It is forwarded only once it is complete."""
        data = self.data
        end = start if data.startswith(b"\r\n", start) else data.find(b"\r\n\r\n", start) + 2
        if end == 1:
            data = data[start:]
            if len(data) > self._trailer_bytes_max or re.search(rb"(?<!\r)\n|\r[^\n]|\x00", data):
                raise ChunkError("bad_chunk", "the trailer section is malformed or exceeds trailer_bytes_max")
            self._kept = data
            self.data, self.end = b"", 0
            return b""
        if end - start > self._trailer_bytes_max:
            raise ChunkError("bad_chunk", "the trailer section exceeds trailer_bytes_max")
        kept = []
        for line in data[start:end].split(b"\r\n")[:-1]:
            match = _TRAILER_FIELD.fullmatch(line)
            if match is None:
                raise ChunkError("bad_chunk", f"trailer field {line[:32]!r} is malformed")
            if match[1].translate(FOLDED) not in _FORBIDDEN_TRAILERS:
                kept.append(line + b"\r\n")
        self.done = True
        self._state = _DONE
        self.end = end + 2
        return b"" if self._decode else b"".join(kept) + b"\r\n"


LINES_PER_STEP: Final = 256
"""Size lines read in one iteration of the event loop: about 0.2 ms in pure Python, 5 µs compiled."""


class RequestBody:
    """Framed by a length in bytes or by chunks. `received_bytes` counts the bytes that have arrived, `rate_mark_bytes` is its
    value at the last check of the rate (min_rate.py). The bytes in `data` from `end` on followed the body if it is `done`;
    otherwise they are to be fed again in another turn of the loop.
    """

    def __init__(self, length: int, options: Options) -> None:
        self.done = False
        self.data = b""
        self.end = 0
        self.received_bytes = 0
        self.rate_mark_bytes = 0
        self._left = length
        self._chunks: ChunkedBody | None = None
        if length == CHUNKED:
            self._chunks = ChunkedBody(options.body_bytes_max, options.trailer_bytes_max, lines_max=LINES_PER_STEP)

    def feed(self, data: bytes, start: int = 0) -> bytes:
        """Return the bytes of `data` from `start` on to forward; raise ChunkError if they cannot be part of a valid body."""
        if data is not self.data:
            self.received_bytes += len(data) - start
        if self._chunks is not None:
            out = self._chunks.feed(data, start)
            self.done, self.data, self.end = self._chunks.done, self._chunks.data, self._chunks.end
            return out
        if len(data) - start < self._left:
            self._left -= len(data) - start
            return data[start:]  # the same object if start is 0
        self.done, self.data, self.end = True, data, start + self._left
        return data[start : self.end]
