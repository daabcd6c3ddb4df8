"""Memory of idle keep-alive connections: each has made one request and waits."""

from __future__ import annotations

import socket
import time
from typing import Final

from benchmarks.peers.latency import BODY, complete
from benchmarks.peers.peer import Started
from benchmarks.program import BenchmarkError, memory_kib, tree

SETTLE_S: Final = 2.0
REQUEST: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def run(peer: str, started: Started, first: int, more: int) -> dict[str, float]:
    """Return KiB (PSS of all processes) per connection between `first` connections and `more` of them after those.

    The first ones partly fit into memory that the start has left over, so they do not count.
    """
    connections: list[socket.socket] = []
    try:
        at_rest = _kib(started)
        for _ in range(first):
            connections.append(_asked_once(peer, started.port))
        time.sleep(SETTLE_S)
        before = _kib(started)
        for _ in range(more):
            connections.append(_asked_once(peer, started.port))
        time.sleep(SETTLE_S)
        after = _kib(started)
        for connection in connections:
            _check_open(peer, connection)
    except OSError as error:
        raise BenchmarkError(f"{peer}: connection {len(connections) + 1}: {error!r}") from error
    finally:
        for connection in connections:
            connection.close()
    return {"figure": round((after - before) / more, 3), "at_rest_mib": round(at_rest / 1024, 1)}


def _kib(started: Started) -> int:
    return sum(memory_kib(pid)[1] for pid in tree(started.program.pid))


def _asked_once(peer: str, port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(REQUEST)
    answer = b""
    while not complete(answer):
        data = connection.recv(65536)
        if not data:
            raise BenchmarkError(f"{peer}: a request before idling was answered {answer[:200]!r}")
        answer += data
    return connection


def _check_open(peer: str, connection: socket.socket) -> None:
    connection.setblocking(False)
    try:
        if connection.recv(1, socket.MSG_PEEK) == b"":
            raise BenchmarkError(f"{peer} closed an idle connection during the measurement")
    except BlockingIOError:
        pass
