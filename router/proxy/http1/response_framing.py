"""Persistence and framing of a response where they differ from those of the backend's response (RFC 9112 §6, §9.3)."""

from __future__ import annotations

import re
from typing import Final

from router.proxy.http1.fields import CHUNKED, UNTIL_CLOSE
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead

_TRANSFER_ENCODING: Final = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*", re.IGNORECASE)


def adapt(
    request: RequestHead, head: ResponseHead, pieces: list[bytes], *, complete: bool, close: bool
) -> tuple[bool, bool]:
    """Change `pieces`, whose last two are the end of the head and the body; return (relay the body in chunks, close after it).

    `complete`: the whole body is there. `close`: the connection ends after this response, also if the client wants to keep it.
    """
    rechunking = False
    if head.length == UNTIL_CLOSE and not complete:
        if request.http11:
            rechunking = True
            pieces.insert(-2, b"Transfer-Encoding: chunked\r\n")
        else:
            close = True
    elif head.length == CHUNKED and not request.http11:
        close = close or not complete
        pieces[0] = _TRANSFER_ENCODING.sub(b"", pieces[0])
    if close or not request.keep_alive:
        pieces.insert(-2, b"Connection: close\r\n")
        return rechunking, True
    if not request.http11:
        pieces.insert(-2, b"Connection: keep-alive\r\n")
    return rechunking, False
