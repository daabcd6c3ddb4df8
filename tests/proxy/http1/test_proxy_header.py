"""PROXY headers in every cut: the specification's own, and everything that looks like one."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.proxy.addresses import UNIX
from router.proxy.http1.proxy_header import SIGNATURE, ProxyHeader, ProxyHeaderError, ProxySource, crc32c

REST = b"GET / HTTP/1.1\r\n\r\n"
PORTS = (4711).to_bytes(2, "big") + (443).to_bytes(2, "big")
TCP4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("10.0.0.1") + PORTS
TCP6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + PORTS
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7") * 2 + PORTS


def v2(family: int, body: bytes, command: int = 0x21, length: int | None = None) -> bytes:
    return SIGNATURE + bytes((command, family)) + (len(body) if length is None else length).to_bytes(2, "big") + body


def vector(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def summed(family: int, body: bytes, after: bytes = b"", wrong: int = 0) -> bytes:
    blank = v2(family, body + vector(3, bytes(4)) + after)
    at = 16 + len(body) + 3
    return blank[:at] + (crc32c(blank) ^ wrong).to_bytes(4, "big") + blank[at + 4 :]


GOOD: dict[str, tuple[bytes, str | None]] = {
    "v1 TCP4": (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n", "192.0.2.7"),
    "v1 longest TCP4": (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    "v1 TCP6": (b"PROXY TCP6 2001:DB8::7 ::1 0 443\r\n", "2001:db8::7"),
    "v1 longest TCP6": (
        b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    "v1 4 in 6": (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "192.0.2.7"),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "v1 longest UNKNOWN": (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", None),
    "v2 TCP4": (v2(0x11, TCP4), "192.0.2.7"),
    "v2 TCP6": (v2(0x21, TCP6), "2001:db8::7"),
    "v2 4 in 6": (v2(0x21, MAPPED), "192.0.2.7"),
    "v2 Unix": (v2(0x31, b"/run/a".ljust(108, b"\0") + bytes(108)), UNIX),
    "v2 UNSPEC": (v2(0x00, b""), None),
    "v2 UNSPEC with anything": (v2(0x00, b"\xff" * 9), None),
    "v2 LOCAL": (v2(0x00, b"", 0x20), None),
    "v2 LOCAL with dummy addresses": (v2(0x11, bytes(12) + b"\x04", 0x20), None),
    "v2 health check of an AWS NLB": (
        v2(0x11, bytes.fromhex("030004bce5951f04004a") + bytes(74), 0x20),  # kubernetes/kubernetes#57250
        None,
    ),
    "v2 LOCAL of any family": (v2(0xFF, b"abc", 0x20), None),
    "v2 vectors": (v2(0x11, TCP4 + vector(4, b"") + vector(0xEA, b"\x01vpce-1") + vector(5, b"id" * 99)), "192.0.2.7"),
    "v2 checksum": (summed(0x11, TCP4), "192.0.2.7"),
    "v2 checksum between vectors": (summed(0x21, TCP6 + vector(4, b"\0" * 5), vector(2, b"host")), "2001:db8::7"),
    "v2 as long as may be": (v2(0x11, TCP4 + vector(4, bytes(300 - 28 - 3))), "192.0.2.7"),
}


@pytest.mark.parametrize(("raw", "source"), GOOD.values(), ids=GOOD)
def test_every_cut_says_the_same_and_leaves_what_stands_behind(raw: bytes, source: str | None) -> None:
    for cut in range(len(raw) + len(REST)):
        header = ProxyHeader(300)
        whole = raw + REST
        taken = header.feed(whole[:cut]) if cut else 0
        if cut < len(raw):
            assert (taken, header.source) == (cut, None)
            taken += header.feed(whole[cut:])
        assert (taken, header.source) == (len(raw), ProxySource(source))


@pytest.mark.parametrize(("raw", "source"), GOOD.values(), ids=GOOD)
def test_byte_by_byte(raw: bytes, source: str | None) -> None:
    header = ProxyHeader(300)
    assert [header.feed(raw[at : at + 1]) for at in range(len(raw))] == [1] * len(raw)
    assert header.source == ProxySource(source)


LINES = [
    *(
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
        b"PROXY\r\n",
        b"PROXY \r\n",
    ),
    *(b"PROXY TCP4  192.0.2.7 10.0.0.1 1 2\r\n", b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 \r\n", b"PROXY TCP4 1 2 3 4\r\n"),
    *(b"PROXY TCP4 192.0.2.07 10.0.0.1 1 2\r\n", b"PROXY TCP4 192.0.2.7 10.0.0.1 01 2\r\n", b"PROXY TCP4 a b 1 2\r\n"),
    *(b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n", b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 2\r\n"),
    *(b"PROXY TCP4 ::1 ::1 1 2\r\n", b"PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n", b"PROXY TCP6 1::2::3 ::1 1 2\r\n"),
    *(
        b"PROXY TCP6 fe80::1%lo ::1 1 2\r\n",
        b"PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
        b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
    ),
    *(b"PROXY UNKNOWNX\r\n", b"PROXY UNKNOWN\n", b"PROXY UNKNOWN a\rb\r\n", b"PROXY TCP4 1.2.3.4\xff 1.2.3.4 1 2\r\n"),
    *(
        b"PROXY TCP4 \xd9\xa1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n",
        b"PROXY TCP5 ::1 ::1 1 2\r\n",
    ),
    *(b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n", b"PROXY " + b"x" * 101, b"P\n", b"PROXX"),
]
OTHERS = [
    *(
        b"GET / HTTP/1.1\r\nHost: t\r\n\r\n",
        b"\x16\x03\x01",
        b"\r\n\r\nGET",
        b"proxy TCP4",
        b"\x00",
        SIGNATURE[:-1] + b"X",
    ),
    *(v2(0x11, TCP4, 0x11), v2(0x11, TCP4, 0x31), v2(0x11, TCP4, 0x22), v2(0x11, TCP4, 0x2F), v2(0x11, TCP4, 0x00)),
    *(
        v2(0x12, TCP4),
        v2(0x22, TCP6),
        v2(0x32, bytes(216)),
        v2(0x13, TCP4),
        v2(0x41, TCP4),
        v2(0x10, TCP4),
        v2(0x01, b""),
    ),
    *(v2(0x11, TCP4[:-1]), v2(0x21, TCP4), v2(0x31, TCP6), v2(0x11, b"")),
    *(
        v2(0x11, TCP4 + b"\x04"),
        v2(0x11, TCP4 + b"\x04\x00"),
        v2(0x11, TCP4 + b"\x04\x00\x01"),
        v2(0x11, TCP4 + b"\0" * 4),
    ),
    *(v2(0x11, TCP4 + vector(4, bytes(300 - 28 - 2))), v2(0x11, b"", length=65535), v2(0x00, b"", 0x20, length=285)),
    *(summed(0x11, TCP4, wrong=1), summed(0x21, TCP6, vector(4, b"x"), wrong=1 << 31)),
    *(v2(0x11, TCP4 + vector(3, b"")), v2(0x11, TCP4 + vector(3, bytes(5))), summed(0x11, TCP4, vector(3, bytes(4)))),
]


@pytest.mark.parametrize("raw", [*LINES, *OTHERS], ids=lambda raw: repr(raw[:60]))
def test_whatever_is_malformed_is_refused_in_every_cut(raw: bytes) -> None:
    for cut in range(1, len(raw) + 1):
        header = ProxyHeader(300)
        with pytest.raises(ProxyHeaderError):
            header.feed(raw[:cut])
            header.feed(raw[cut:] or b"\xff")
        assert header.source is None


@pytest.mark.parametrize(
    ("raw", "at"), [(b"GET", 1), (b"PROXIES", 5), (v2(0x11, TCP4, 0x11), 13), (v2(0x12, TCP4), 14), (b"\r\nGET", 3)]
)
def test_nobody_waits_for_the_rest_of_what_is_no_header(raw: bytes, at: int) -> None:
    header = ProxyHeader(300)
    assert [header.feed(raw[number : number + 1]) for number in range(at - 1)] == [1] * (at - 1)
    with pytest.raises(ProxyHeaderError):
        header.feed(raw[at - 1 : at])


@given(
    st.binary(max_size=400),
    st.integers(0, 400),
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, v2(0x11, TCP4)]),
)
def test_no_bytes_make_it_crash_or_disagree_with_itself(data: bytes, cut: int, start: bytes) -> None:
    raw = start + data

    def read(*parts: bytes) -> tuple[ProxySource | None, int] | None:
        header, taken = ProxyHeader(300), 0
        try:
            for part in parts:
                if header.source is None:
                    taken += header.feed(part)
        except ProxyHeaderError:
            return None
        return header.source, taken

    assert read(raw) == read(raw[:cut], raw[cut:])


def test_the_checksum_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 appendix B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
