"""Clients that write without end, a process of its own: `benchmarks.soak.pipeliner PORT KIND CONNECTIONS READS SECONDS`.

KIND is one of KINDS; READS is 1 for clients that read their answers, 0 for clients that read nothing. Says a line of JSON when
all are connected, and one at the end: bytes that were written and read.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Final

SOURCE: Final = "127.0.0.5"
BLOCK_BYTES: Final = 1 << 18
_GET: Final = b"GET /v2/models/fraud HTTP/1.1\r\nHost: a\r\n\r\n"
_POST: Final = b"POST /v2/models/fraud HTTP/1.1\r\nHost: a\r\n"
KINDS: Final[dict[str, tuple[bytes, bytes]]] = {
    "requests": (b"", _GET),
    "ready": (b"", b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n"),
    "bodies": (b"", _POST + b"Content-Length: 100\r\n\r\n" + b"x" * 100),
    "chunked": (b"", _POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20 + b"0\r\n\r\n"),
    "upload": (_POST + b"Content-Length: %d\r\n\r\n" % (1 << 30), b"x" * 1024),
    "tiny chunks": (_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "refused": (b"", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
}
"""What is sent once, and what is sent again and again behind it."""


class Pipeliner:
    """One such client; it connects again when it is closed."""

    def __init__(self, port: int, kind: str) -> None:
        self._port = port
        self._first, again = KINDS[kind]
        self._block = again * (BLOCK_BYTES // len(again))
        self.written = self.read = 0
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), timeout=10, source_address=(SOURCE, 0))
        self.socket.setblocking(False)
        self._left = memoryview(self._first + self._block)

    def write(self) -> None:
        try:
            sent = self.socket.send(self._left)
        except BlockingIOError:
            return
        except OSError:
            self._again()
            return
        self.written += sent
        self._left = self._left[sent:] or memoryview(self._block)

    def take(self) -> None:
        try:
            got = len(self.socket.recv(BLOCK_BYTES))
        except BlockingIOError:
            return
        except OSError:
            got = 0
        if got == 0:
            self._again()
        self.read += got

    def _again(self) -> None:
        self.socket.close()
        self.connect()


def run(port: int, kind: str, connections: int, reads: bool, seconds: float) -> dict[str, int]:
    """Write for so long, and close."""
    clients = [Pipeliner(port, kind) for _ in range(connections)]
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > 0:
        by_number = {client.socket.fileno(): client for client in clients}
        readable, writable, _ = select.select(list(by_number) if reads else [], list(by_number), [], min(left_s, 0.1))
        for number in readable:
            by_number[number].take()
        for number in writable:
            if by_number[number].socket.fileno() == number:  # it was not closed meanwhile
                by_number[number].write()
    for client in clients:
        client.socket.close()
    return {"written": sum(client.written for client in clients), "read": sum(client.read for client in clients)}


if __name__ == "__main__":
    found = run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1", float(sys.argv[5]))
    sys.stdout.write(json.dumps(found) + "\n")
