"""The works that are compared: what is asked, what is counted, who takes part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["closed", "streams", "latency", "workers", "idle", "rest", "handshakes"]


@dataclass(frozen=True, slots=True)
class Work:
    """One line of work. `key` begins with the letter of the table in README.md."""

    key: str
    title: str
    unit: str
    """Of the figure: less is better everywhere."""
    kind: Kind
    script: str = ""
    """Which request conf/wrk.lua sends (closed loop only)."""
    connections: int = 64
    chat: bool = True
    """On /v1/chat/completions, where the model gateways take part."""
    tls: bool = False
    """Over https, for the peers whose configuration has TLS."""


WORKS: Final = (
    Work("a", "small JSON POST, repeating heads", "CPU µs/request", "closed", "small"),
    Work("b", "small JSON POST, fresh ids and response heads", "CPU µs/request", "closed", "fresh"),
    Work("c-100k", "GET of 100 kB", "CPU µs/request", "closed", "file-100k", chat=False),
    Work("c-10m", "GET of 10 MB", "CPU µs/request", "closed", "file-10m", connections=8, chat=False),
    Work("d", "POST of 1 MB", "CPU µs/request", "closed", "upload", connections=16, chat=False),
    Work("e", "500 concurrent event streams of 100 chunks", "CPU µs/stream", "streams"),
    Work("f", "latency at 1,000 requests/s, open loop", "p99 µs added", "latency"),
    Work("g", "a new connection for each request", "CPU µs/request", "closed", "closing"),
    Work("h", "CPU per request, 2 workers ÷ 1", "ratio", "workers", "small"),
    Work("i", "memory of an idle connection", "KiB", "idle"),
    Work("j", "at rest", "CPU ms/s", "rest"),
    Work("k", "TLS: small JSON POST on kept connections", "CPU µs/request", "closed", "small", tls=True),
    Work("l", "TLS: GET of 100 kB", "CPU µs/request", "closed", "file-100k", chat=False, tls=True),
    Work("m", "TLS: a handshake for each request", "CPU µs/request", "handshakes", tls=True),
)
QUICK: Final = "a,b,f"


def chosen(letters: str) -> list[Work]:
    """Return the works that begin with one of the comma-separated keys; raise ValueError on an unknown one."""
    keys = [key.strip() for key in letters.split(",") if key.strip()]
    for key in keys:
        if not any(work.key == key or work.key[0] == key for work in WORKS):
            raise ValueError(f"no work {key!r}: {', '.join(work.key for work in WORKS)}")
    return [work for work in WORKS if any(work.key == key or work.key[0] == key for key in keys)]
