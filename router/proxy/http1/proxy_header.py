"""Parser of the PROXY protocol, versions 1 and 2: the header with which an L4 balancer gives the client's address.

It parses bytes in any fragmentation and does no I/O. It consumes no byte after the header. It raises at the first byte that no
header can have there, so an invalid header is not waited for. Sections are those of
haproxy.org/download/2.9/doc/proxy-protocol.txt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from router.proxy.addresses import UNIX, packed_of, plain_address, text_of

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
V1_BYTES_MAX: Final = 107
"""The longest line of version 1, its CRLF included (§2.1)."""
_V1_START: Final = b"PROXY "
_V2_FIXED_BYTES: Final = 16
_V1_LINE: Final = re.compile(r"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})")
_LOCAL, _PROXY = 0, 1
_UNSPEC: Final = 0x00
_ADDRESS_BYTES: Final = {0x11: 12, 0x21: 36, 0x31: 216}
"""Family and transport → bytes of both addresses (§2.2). Datagram families are invalid on a stream."""
_TLV_CRC32C: Final = 0x03


class ProxyHeaderError(Exception):
    """The bytes are no supported PROXY header; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class ProxySource:
    """The content of a header. `source`: the client's address, UNIX on a Unix socket. None if the connection is the balancer's
    own (LOCAL: a health check) or has no address (UNKNOWN, UNSPEC): the address of the connection itself counts then.
    """

    source: str | None


class ProxyHeader:
    """One header as it arrives. `source` is set once it is complete."""

    source: ProxySource | None = None

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max`: size of a version 2 header; version 1 has its own limit."""
        self._bytes_max = bytes_max
        self._buffered = b""

    def feed(self, data: bytes) -> int:
        """Consume the bytes of the header and return their number; raise ProxyHeaderError."""
        buffered = self._buffered + data
        if buffered[:1] == b"P":
            size = self._text(buffered)
        else:
            size = self._binary(buffered)
        if size is None:
            self._buffered = buffered
            return len(data)
        taken = size - len(self._buffered)
        self._buffered = b""
        return taken

    def _text(self, buffered: bytes) -> int | None:
        if buffered[: len(_V1_START)] != _V1_START[: len(buffered)]:
            raise ProxyHeaderError("it does not begin with a PROXY header")
        end = buffered.find(b"\n", 0, V1_BYTES_MAX) + 1
        if end:
            self.source = _read_line(buffered[:end])
            return end
        if len(buffered) >= V1_BYTES_MAX:
            raise ProxyHeaderError(f"the PROXY line is longer than {V1_BYTES_MAX} bytes")
        return None

    def _binary(self, buffered: bytes) -> int | None:
        if buffered[: len(SIGNATURE)] != SIGNATURE[: len(buffered)]:
            raise ProxyHeaderError("it does not begin with a PROXY header")
        if len(buffered) > 12 and (buffered[12] >> 4 != 2 or buffered[12] & 15 not in (_LOCAL, _PROXY)):
            raise ProxyHeaderError(f"PROXY version and command 0x{buffered[12]:02x} are unknown")
        if (
            len(buffered) > 13
            and buffered[13] != _UNSPEC
            and buffered[12] & 15 == _PROXY
            and buffered[13] not in _ADDRESS_BYTES
        ):
            raise ProxyHeaderError(f"PROXY family and transport 0x{buffered[13]:02x} are not for a stream")
        if len(buffered) < _V2_FIXED_BYTES:
            return None
        size = _V2_FIXED_BYTES + int.from_bytes(buffered[14:16], "big")
        if size > self._bytes_max:
            raise ProxyHeaderError(f"the PROXY header of {size} bytes is longer than {self._bytes_max}")
        if len(buffered) < size:
            return None
        self.source = _read_block(buffered[:size])
        return size


def _read_line(line: bytes) -> ProxySource:
    """Version 1 (§2.1)."""
    if not line.endswith(b"\r\n") or not line.isascii():
        raise ProxyHeaderError("the PROXY line is malformed")
    text = line[:-2].decode("ascii")
    if text == "PROXY UNKNOWN" or (text.startswith("PROXY UNKNOWN ") and "\r" not in text):
        return ProxySource(None)
    found = _V1_LINE.fullmatch(text)
    if found is None or max(int(found[4]), int(found[5])) > 65535:
        raise ProxyHeaderError("the PROXY line is malformed")
    colons = found[1] == "6"
    for address in found[2], found[3]:
        if (":" in address) is not colons or packed_of(address) is None:
            raise ProxyHeaderError("an address of the PROXY line is malformed")
    return ProxySource(plain_address(found[2]))


def _read_block(block: bytes) -> ProxySource:
    """Version 2 (§2.2)."""
    family = block[13]
    if block[12] & 15 == _LOCAL or family == _UNSPEC:
        return ProxySource(None)
    size = _ADDRESS_BYTES[family]
    if len(block) < _V2_FIXED_BYTES + size:
        raise ProxyHeaderError("the PROXY header is shorter than its addresses")
    _check_vectors(block, _V2_FIXED_BYTES + size)
    if family == 0x31:
        return ProxySource(UNIX)
    source = block[_V2_FIXED_BYTES : _V2_FIXED_BYTES + (4 if family == 0x11 else 16)]
    return ProxySource(plain_address(text_of(source)))


def _check_vectors(block: bytes, at: int) -> None:
    """Check type, length and value up to the end (§2.2.1), and the checksum if there is one (§2.2.3); the rest is not used."""
    sums = []
    while at < len(block):
        value = at + 3
        end = value + int.from_bytes(block[at + 1 : value], "big")
        if value > len(block) or end > len(block):
            raise ProxyHeaderError("a type-length-value of the PROXY header does not fit")
        if block[at] == _TLV_CRC32C:
            sums.append((value, end))
        at = end
    if not sums:
        return
    value, end = sums[0]
    if len(sums) > 1 or end - value != 4:
        raise ProxyHeaderError("the checksum of the PROXY header is malformed")
    if crc32c(block[:value] + bytes(4) + block[end:]) != int.from_bytes(block[value:end], "big"):
        raise ProxyHeaderError("the checksum of the PROXY header is wrong")


def _crc_of(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ (0x82F63B78 if octet & 1 else 0)
    return octet


_CRC_TABLE: Final = tuple(_crc_of(octet) for octet in range(256))


def crc32c(data: bytes) -> int:
    """Return the Castagnoli checksum (RFC 3720 appendix B.4); the standard library has only the other polynomial."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ octet) & 0xFF]
    return crc ^ 0xFFFFFFFF
