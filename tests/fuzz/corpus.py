"""Where a target begins: the tables of requests and responses that the other tests hold, and the words of HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz import chunked_bodies, proxy_headers, request_heads, response_heads, templates
from tests.proxy import hostile
from tests.proxy.http1.test_proxy_header import GOOD, LINES, OTHERS
from tests.proxy.malformed import MALFORMED
from tests.proxy.smuggling import FRAMING
from tests.proxy.unusual import UNUSUAL

SEED_BYTES_MAX: Final = 4096
WORDS: Final = (
    *(b"GET ", b"POST ", b"OPTIONS ", b"HEAD ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"HTTP/1.1 200 OK\r\n"),
    *(b"HTTP/1.1 101 X\r\n", b"HTTP/1.1 204 \r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\t", b"\0", b": ", b"\x80"),
    *(b"Host: t\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Connection: ", b"keep-alive", b"close"),
    *(b"Upgrade: websocket\r\n", b"Sec-WebSocket-Key: a\r\n", b"Expect: 100-continue\r\n", b"Max-Forwards: 0\r\n"),
    *(
        b"X-Request-ID: a\r\n",
        b"X-Forwarded-For: 1\r\n",
        b"Forwarded: for=1\r\n",
        b"TE: trailers\r\n",
        b"Via: 1.1 a\r\n",
    ),
    *(
        b"http://",
        b"https://",
        b"[::1]",
        b"?",
        b"#",
        b"*",
        b"%00",
        b"_",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b";a=b",
        b'"',
    ),
    *(
        b"Trailer: ",
        b"Keep-Alive: timeout=5\r\n",
        b"X-Served-Version: 1\r\n",
        b"Server-Timing: a\r\n",
        b"ffffffffffffff",
    ),
)


def _requests() -> list[bytes]:
    return [case.raw for case in (*FRAMING, *MALFORMED)] + [case.raw for case in UNUSUAL]


def _responses() -> list[bytes]:
    return [case.raw for case in (*hostile.BROKEN, *hostile.EXCESSIVE)]


def _bodies() -> list[bytes]:
    messages = [raw for raw in (*_requests(), *_responses()) if b"hunked" in raw]
    return [b"\x03" + raw.partition(b"\r\n\r\n")[2] for raw in messages]


def _proxy_headers() -> list[bytes]:
    good = [header for header, _ in GOOD.values()]
    return [b"\x05" + header + b"GET / HTTP/1.1\r\n" for header in (*good, *LINES, *OTHERS)]


TARGETS: Final[dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]]] = {
    "request_heads": (request_heads.check, _requests),
    "response_heads": (response_heads.check, _responses),
    "chunked_bodies": (chunked_bodies.check, _bodies),
    "request_templates": (templates.check_requests, templates.request_seeds),
    "response_templates": (templates.check_responses, templates.response_seeds),
    "proxy_headers": (proxy_headers.check, _proxy_headers),
}
"""By name: what is checked of each input, and the inputs to begin with."""


def seeds(target: str) -> list[bytes]:
    """Return the inputs to begin with, none of them long by repetition."""
    return [raw for raw in dict.fromkeys(TARGETS[target][1]()) if len(raw) <= SEED_BYTES_MAX]


def write(target: str, folder: Path) -> Path:
    """Write the seeds and the dictionary into `folder`; return the dictionary's path."""
    (folder / "corpus").mkdir()
    for number, seed in enumerate(seeds(target)):
        (folder / "corpus" / f"seed-{number}").write_bytes(seed)
    words = folder / "words"
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in WORDS]
    words.write_text("".join(lines))
    return words
