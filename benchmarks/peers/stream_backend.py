"""A model server that streams: `python -m benchmarks.peers.stream_backend PORT INTERVAL_MS CHUNKS`.

A chat completion that asks for a stream gets CHUNKS events, one each INTERVAL_MS, each written alone as one HTTP chunk;
everything else (probes, model lists) is answered at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final, cast

import uvloop

PLAIN: Final = json.dumps(
    {
        "id": "chatcmpl-a5f1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "fraud",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "ready"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()
# nginx buffers a response unless it says this, as servers of event streams do.
STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(number: int) -> bytes:
    """Return one event as a chat-completion model server sends it."""
    document = {
        "id": "chatcmpl-a5f1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "fraud",
        "choices": [{"index": 0, "delta": {"content": f"token{number} "}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(document).encode() + b"\n\n"


class Connection(asyncio.Protocol):
    """Requests one after another."""

    def __init__(self, interval_s: float, chunks: list[bytes]) -> None:
        self._interval_s = interval_s
        self._chunks = chunks
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from those of asyncio.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            if b"\r\ntransfer-encoding:" in head:
                last = self._buffer.find(b"0\r\n\r\n", end + 4)
                whole = last + 5 if last >= 0 else -1
            else:
                _, found, rest = head.partition(b"\r\ncontent-length:")
                whole = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
            if whole < 0 or len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        assert self._transport is not None
        if b'"stream":true' in body.replace(b" ", b""):
            self._transport.write(STREAM_HEAD)
            self._step(0)
        else:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(PLAIN)
            self._transport.write(head + PLAIN)

    def _step(self, number: int) -> None:
        if self._transport is None:
            return
        self._transport.write(self._chunks[number])
        if number + 1 < len(self._chunks):
            asyncio.get_running_loop().call_later(self._interval_s, self._step, number + 1)


async def serve(port: int, interval_s: float, count: int) -> None:
    """Listen until killed."""
    chunks = [chunk(event(number)) for number in range(count)]
    chunks[-1] += chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(interval_s, chunks), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]) / 1000, int(sys.argv[3])))
