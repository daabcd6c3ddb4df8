"""A body of 4 GiB up and down, framed by length and by chunks: every byte arrives, and the worker's memory does not follow it."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.program import BenchmarkError
from benchmarks.soak.body_backend import BLOCK, BLOCK_BYTES
from benchmarks.soak.process import LoadProcess
from benchmarks.soak.size import Line, Size
from benchmarks.subject import Router, service_toml

SETTINGS: Final = ("[limits]", f"body_bytes_max = {8 << 30}", "")
"""The default (1 GiB) would refuse the upload."""
GROWTH_MIB_MAX: Final = 32.0
SAMPLE_S: Final = 0.05
TIMEOUT_S: Final = 30.0


class Memory:
    """The highest RSS of one process while something goes on, against the one before."""

    def __init__(self, pid: int) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        self.before_mib = self._rss_mib()
        self.highest_mib = self.before_mib
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.highest_mib = max(self.highest_mib, self._rss_mib())

    def _rss_mib(self) -> float:
        return int(self._statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(size: Size, folder: Path) -> list[Line]:
    """Send and fetch such a body in both framings."""
    with LoadProcess("soak.body_backend") as backend:
        text = "\n".join(SETTINGS) + "\n" + service_toml("default", ("v1", backend.line()["port"]))
        router = Router(folder / "body", text, workers=1)
        try:
            lines: list[Line] = []
            for name, move in (("up", _up), ("down", _down)):
                for framing in ("length", "chunked"):
                    lines += _transfer(f"{name}, {framing}", router, size.body_bytes, framing, move)
            return lines
        finally:
            router.stop()


def _transfer(what: str, router: Router, size: int, framing: str, move: Callable[[int, int, str], int]) -> list[Line]:
    memory = Memory(router.pids()["worker"][0])
    begun_s = time.monotonic()
    try:
        checksum = move(router.port, size, framing)
    finally:
        memory.stop()
    took_s = time.monotonic() - begun_s
    wrong = float(checksum != expected(size))
    return [
        Line(f"{what}: bytes that are not the same", wrong, "bodies", 0),
        Line(
            f"{what}: RSS of the worker grew by",
            round(memory.highest_mib - memory.before_mib, 2),
            "MiB",
            GROWTH_MIB_MAX,
        ),
        Line(f"{what}: speed", round(size / took_s / 2**20, 1), "MiB/s"),
    ]


def expected(size: int) -> int:
    """Return the CRC of `size` bytes of the repeated block."""
    checksum = 0
    for at in range(0, size, BLOCK_BYTES):
        checksum = zlib.crc32(BLOCK if size - at >= BLOCK_BYTES else BLOCK[: size - at], checksum)
    return checksum


def _up(port: int, size: int, framing: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        fields = b"Transfer-Encoding: chunked" if framing == "chunked" else b"Content-Length: %d" % size
        connection.sendall(b"POST /up HTTP/1.1\r\nHost: t\r\n%b\r\n\r\n" % fields)
        for at in range(0, size, BLOCK_BYTES):
            block = BLOCK if size - at >= BLOCK_BYTES else BLOCK[: size - at]
            connection.sendall(b"%x\r\n%b\r\n" % (len(block), block) if framing == "chunked" else block)
        if framing == "chunked":
            connection.sendall(b"0\r\n\r\n")
        head, body = _head(connection)
        while not body.endswith(b"}"):
            body += _some(connection)
        answer = json.loads(body)
        if answer["bytes"] != size:
            raise BenchmarkError(f"{answer['bytes']} of {size} bytes arrived: {head[:100]!r}")
        return int(answer["crc"])


def _down(port: int, size: int, framing: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(b"GET /%b/%d HTTP/1.1\r\nHost: t\r\n\r\n" % (framing.encode(), size))
        _, body = _head(connection)
        return _chunked_checksum(connection, body) if framing == "chunked" else _checksum(connection, body, size)


def _checksum(connection: socket.socket, body: bytes, size: int) -> int:
    checksum, left = zlib.crc32(body), size - len(body)
    while left:
        data = _some(connection)
        checksum, left = zlib.crc32(data, checksum), left - len(data)
    return checksum


def _chunked_checksum(connection: socket.socket, buffer: bytes) -> int:
    checksum = 0
    while True:
        while (end := buffer.find(b"\r\n")) < 0:
            buffer += _some(connection)
        left, buffer = int(buffer[:end], 16), buffer[end + 2 :]
        if left == 0:
            return checksum
        while left:
            data, buffer = buffer[:left] or _some(connection), buffer[left:]
            if len(data) > left:
                data, buffer = data[:left], data[left:]
            checksum, left = zlib.crc32(data, checksum), left - len(data)
        while len(buffer) < 2:
            buffer += _some(connection)
        buffer = buffer[2:]


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    if not data.startswith(b"HTTP/1.1 200"):
        raise BenchmarkError(f"a body was answered {data[:300]!r}")
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(BLOCK_BYTES)
    if not data:
        raise BenchmarkError("the connection ended in the middle of a body")
    return data
