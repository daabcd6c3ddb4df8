"""Inputs that fuzzing has found to break a promise, each by the target that found it: kept so that they are tried for ever."""

from __future__ import annotations

from typing import Final

FOUND: Final[dict[str, tuple[bytes, ...]]] = {
    "request_heads": (
        b"GET /a0 HTTP/1.1\r\nHost:\r\nHost: t\r\nX-Request-ID: mine\r\nRange: by t\r\nX:\ta\r\n\r\n",
        b"GET /a HTTP/1.0\r\nHost: t\r\nConnection: ke: [::1]:80\r\n",
        b"OPTIONS /a HTTP/1.1\r\nMax-Forwards: 0\r\nHost: o",
        b"OPTIONS http://t:1 HTTP/1.1\r\nHost: u\r\n\r\n",
    ),
    "response_heads": (
        b"HTTP/1.1 204\r\nTransfensfer-Encoding: chunked\r\nX-Forwarded-For: 1\r\n",
        b"HTTP/1.1 204\r\nVia:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-ENcoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 O\xb3\r\nTrailer: Transfer-Encoding: gzi",
    ),
    "chunked_bodies": (
        b'\x035    ;a;b=c;d="e;\\"f"\r\nhello\r\n0;x\r\n\r\n',
        b"\x031\r\na\r\n0\r\nContent-Length: X: 1\r\nX-B:\r\n\r\n",
    ),
}
