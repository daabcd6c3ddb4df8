"""What the tests of validators share: options, requests, and what was counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.proxy.options import ValidationOptions
from router.shm import layout as at
from tests.proxy.rig import Rig

SCHEMA = '{"type": "object", "required": ["inputs"], "properties": {"inputs": {"items": {"type": "number"}}}}'
REQUESTS = ValidationOptions(request_schema=SCHEMA, request_bytes_max=64)
GOOD, BAD = b'{"inputs": [1, 2.5]}', b'{"inputs": [1, "x"]}'


def post(body: bytes, path: str = "/infer", *fields: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: t", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces: bytes) -> list[bytes]:
    """Return head, chunks and end of a request without a length."""
    head = b"POST /infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


def validated(rig: Rig) -> dict[str, int]:
    """Return what the validators counted, without the zeroes."""
    row = rig.segment.layout.worker_service(0, 0) + at.LS_VALIDATED
    counts = {f"{what}.{result}": rig.segment.words[row + number] for number, (what, result) in enumerate(at.VALIDATED)}
    return {name: count for name, count in counts.items() if count}


def buffered_bytes(rig: Rig) -> int:
    """Return how many bytes of requests are held until they are whole."""
    service_tap = rig.data_plane.services[0].tap
    assert service_tap is not None
    return service_tap.buffered_bytes


class Deferring:
    """A loop that keeps its next callbacks until `go_on` is called."""

    def __init__(self, rig: Rig) -> None:
        self._loop = rig.context.loop
        self.later: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        rig.context.loop = self  # type: ignore[assignment]

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self.later.append((callback, arguments))

    def go_on(self) -> None:
        while self.later:
            callback, arguments = self.later.pop(0)
            callback(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)
