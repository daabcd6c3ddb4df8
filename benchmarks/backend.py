"""A model server whose faults are switched on from outside; a process of its own: `python -m benchmarks.backend`.

It says `{"port": N}` on stdout when it listens. Each line on stdin names what it does from then on, and is answered by
one line with the monotonic time (ns, the same clock in all processes of this machine) at which it changed:

    errors SHARE   answers 500 to this share of inferences; GET / stays 200, as a liveness page does
    hang           takes every request and answers none
    crash          is gone, by SIGKILL
    healthy        answers everything
    stream         answers inferences by an event stream with content
    dead           answers no inference; every GET stays 200
    comments       answers inferences by an event stream of keep-alive comments, without end
    silent         answers inferences by the head of an event stream
    error-event    answers inferences by a 200 whose first event is an error
    late-error     the same after a first token
    status CODE    answers inferences by this status; 503 has Retry-After
    slow SECONDS   answers inferences after this time
    poison         answers 500 to inferences whose body holds "poison"
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import signal
import sys
import time
from typing import Final

BODY: Final = (
    b'{"model_name":"fraud","model_version":"7","id":"a5f1","outputs":[{"name":"score","shape":[1,4],'
    b'"datatype":"FP32","data":[0.0134,0.9021,0.0713,0.0132]}],"parameters":{"content_type":"np"}}'
)
ERROR: Final = b'{"error":"model failed"}'
BACKLOG: Final = 4096


def answer(status: str, body: bytes) -> bytes:
    """Return a whole response."""
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status.encode(),
        len(body),
        body,
    )


STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN: Final = b'data: {"choices":[{"index":0,"delta":{"content":"yes"}}]}\n\n'
ERROR_EVENT: Final = b'data: {"error":{"message":"model failed","code":500}}\n\n'
DONE: Final = b"data: [DONE]\n\n"
COMMENT: Final = b": keep-alive\n\n"
COMMENT_S: Final = 1.0


def chunks(*events: bytes) -> bytes:
    """Return events, each in a chunk of its own."""
    return b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)


def streamed(*events: bytes) -> bytes:
    """Return a whole event stream."""
    return STREAM_HEAD + chunks(*events) + b"0\r\n\r\n"


OK: Final = answer("200 OK", BODY)
FAILED: Final = answer("500 Internal Server Error", ERROR)


STREAMS: Final = {
    "stream": streamed(TOKEN, TOKEN, DONE),
    "error-event": streamed(ERROR_EVENT, DONE),
    "late-error": streamed(TOKEN, ERROR_EVENT),
    "silent": STREAM_HEAD,
    "comments": STREAM_HEAD + chunks(COMMENT),
}


class Model:
    """The present behaviour. `hung` keeps the requests that came during a hang, so that none is answered later by accident."""

    def __init__(self, seed: int) -> None:
        self.mode = "healthy"
        self.share = 0.0
        self._chance = random.Random(seed)

    def reply(self, inference: bool, body: bytes) -> bytes | None:
        """Return the response to one request, None for silence."""
        if self.mode == "hang":
            return None
        if not inference or self.mode in ("healthy", "slow"):
            return OK
        if self.mode == "errors":
            return FAILED if self._chance.random() < self.share else OK
        if self.mode == "poison":
            return FAILED if b"poison" in body else OK
        if self.mode == "status":
            return answer(f"{self.share:.0f} Status\r\nRetry-After: 2", ERROR)
        return STREAMS.get(self.mode)

    def obey(self, line: str) -> None:
        """Change the behaviour by each line of stdin, and print when; the end of input ends the process."""
        words = line.split()
        if not words:
            os._exit(0)
        self.share = float(words[1]) if len(words) > 1 else 0.0
        self.mode = words[0]
        say({"mode": self.mode, "changed_ns": time.monotonic_ns()})
        if self.mode == "crash":
            os.kill(os.getpid(), signal.SIGKILL)


class Connection(asyncio.Protocol):
    """Requests with a Content-Length or without a body, one after another: what the router and our load send."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            _, found, rest = head.partition(b"\r\ncontent-length:")
            whole = end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            reply = self._model.reply(head.startswith(b"post "), body)
            if reply is None:
                continue
            if self._model.mode == "slow" and head.startswith(b"post "):
                asyncio.get_running_loop().call_later(self._model.share, self._write, reply)
            else:
                self._write(reply)
            if self._model.mode == "comments" and head.startswith(b"post "):
                asyncio.get_running_loop().call_later(COMMENT_S, self._comment)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _comment(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._write(chunks(COMMENT))
            asyncio.get_running_loop().call_later(COMMENT_S, self._comment)


def say(document: dict[str, object]) -> None:
    """Write one line that the benchmark reads."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def serve(seed: int) -> None:
    """Listen and obey until killed."""
    loop = asyncio.get_running_loop()
    model = Model(seed)
    server = await loop.create_server(lambda: Connection(model), "127.0.0.1", 0, backlog=BACKLOG)
    loop.add_reader(sys.stdin.fileno(), lambda: model.obey(sys.stdin.readline()))
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(int(sys.argv[1])))
