"""A backend of huge bodies, a process of its own: `python -m benchmarks.soak.body_backend`; says `{"port": N}`.

GET /length/N and /chunked/N answer with N bytes; any POST is answered with the number and the CRC of the bytes of its body.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import zlib
from typing import Final

BLOCK_BYTES: Final = 1 << 20
BLOCK: Final = random.Random(7).randbytes(BLOCK_BYTES)


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve the requests of one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            path = head.split(b" ")[1]
            if head.startswith((b"get /length/", b"get /chunked/")):
                await _send(writer, int(path.rpartition(b"/")[2]), chunked=path.startswith(b"/chunked/"))
                continue
            size, checksum = await (_chunks if b"\r\ntransfer-encoding:" in head else _length)(reader, head)
            body = json.dumps({"bytes": size, "crc": checksum}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, size: int, *, chunked: bool) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n%b\r\n\r\n" % framing)
    for at in range(0, size, BLOCK_BYTES):
        block = BLOCK if size - at >= BLOCK_BYTES else BLOCK[: size - at]
        writer.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")


async def _length(reader: asyncio.StreamReader, head: bytes) -> tuple[int, int]:
    size = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
    left, checksum = size, 0
    while left:
        data = await reader.read(min(left, BLOCK_BYTES))
        if not data:
            raise ConnectionResetError
        checksum, left = zlib.crc32(data, checksum), left - len(data)
    return size, checksum


async def _chunks(reader: asyncio.StreamReader, head: bytes) -> tuple[int, int]:
    total, checksum = 0, 0
    while size := int(await reader.readline(), 16):
        data = await reader.readexactly(size)
        await reader.readexactly(2)
        checksum, total = zlib.crc32(data, checksum), total + size
    await reader.readexactly(2)
    return total, checksum


async def serve() -> None:
    """Listen until killed."""
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, limit=2 * BLOCK_BYTES)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
