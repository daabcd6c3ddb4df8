"""Properties of every PROXY header: the same result in any fragmentation, and no byte after it is consumed."""

from __future__ import annotations

import ipaddress

from router.proxy.addresses import UNIX
from router.proxy.http1.proxy_header import SIGNATURE, ProxyHeader, ProxyHeaderError

BYTES_MAX = 536
_V1_BYTES_MAX = 107
Result = tuple[str, str | None, int]


def check(data: bytes) -> None:
    """Fail if the header behind the first byte of `data`, which says how it is cut, breaks a promise."""
    step, stream = max(data[:1], b"\x01")[0], data[1:]
    whole = _read([stream])
    assert _read([stream[at : at + step] for at in range(0, len(stream), step)]) == whole, (step, stream)
    state, source, taken = whole
    if state != "announced":
        return
    header = stream[:taken]
    if header.startswith(SIGNATURE):
        assert taken == 16 + int.from_bytes(header[14:16], "big") <= BYTES_MAX, header
    else:
        assert header.startswith(b"PROXY "), header
        assert header.endswith(b"\r\n"), header
        assert header.count(b"\n") == 1, header
        assert taken <= _V1_BYTES_MAX, header
    if source not in (None, UNIX):
        ipaddress.ip_address(source)
    assert _read([header]) == whole, header
    assert _read([header[:-1]])[0] == "more", header


def _read(pieces: list[bytes]) -> Result:
    """Return (`announced`, `more` or `refused`, whom it announces, how many bytes were taken)."""
    header, taken = ProxyHeader(BYTES_MAX), 0
    try:
        for piece in pieces:
            if header.source is None and piece:
                taken += header.feed(piece)
    except ProxyHeaderError:
        return "refused", None, 0
    return ("announced", header.source.source, taken) if header.source else ("more", None, taken)
