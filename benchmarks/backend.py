"""A model server whose faults are switched on from outside; a process of its own: `python -m benchmarks.backend`.

It says `{"port": N}` on stdout when it listens. Each line on stdin names what it does from then on, and is answered by
one line with the monotonic time (ns, the same clock in all processes of this machine) at which it changed:

    errors SHARE   answers 500 to this share of inferences; GET / stays 200, as a liveness page does
    hang           takes every request and answers none
    crash          is gone, by SIGKILL
    healthy        answers everything
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


OK: Final = answer("200 OK", BODY)
FAILED: Final = answer("500 Internal Server Error", ERROR)


class Model:
    """The present behaviour. `hung` keeps the requests that came during a hang, so that none is answered later by accident."""

    def __init__(self, seed: int) -> None:
        self.mode = "healthy"
        self.share = 0.0
        self._chance = random.Random(seed)

    def reply(self, inference: bool) -> bytes | None:
        """Return the response to one request, None for silence."""
        if self.mode == "hang":
            return None
        if self.mode == "errors" and inference and self._chance.random() < self.share:
            return FAILED
        return OK

    def obey(self, line: str) -> None:
        """Change the behaviour by each line of stdin, and print when; the end of input ends the process."""
        words = line.split()
        if not words:
            os._exit(0)
        self.share = float(words[1]) if words[0] == "errors" else 0.0
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
            self._buffer = self._buffer[whole:]
            reply = self._model.reply(inference=head.startswith(b"post "))
            if reply is not None and self._transport is not None:
                self._transport.write(reply)


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
