"""A forward proxy on loopback: it tunnels (CONNECT) and forwards (absolute form), and records what it was asked for."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class ProxyServer:
    """All hosts lead to port `port` of loopback. `login` is USER:PASSWORD, else the answer is 407. `hangs`: no answer."""

    def __init__(self, port: int, login: str | None, hangs: bool) -> None:
        self.port = port
        self.login = login
        self.hangs = hangs
        self.asked: list[str] = []
        self.address = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {target}")
        if self.hangs:
            await reader.read()
            return
        if self.login is not None and self._given(head) != self.login:
            page = b"<html><body>Please log in</body></html>"
            fields = b'Proxy-Authenticate: Basic realm="x"\r\nContent-Type: text/html\r\nContent-Length: %d' % len(page)
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n" + fields + b"\r\n\r\n" + page)
            await writer.drain()
            return
        onward, back = await asyncio.open_connection("127.0.0.1", self.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            parts = urlsplit(target)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            back.write(head.replace(target.encode(), path.encode(), 1))
        await asyncio.gather(_copied(reader, back), _copied(onward, writer))

    @staticmethod
    def _given(head: bytes) -> str:
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"proxy-authorization: basic "):
                return base64.b64decode(line[27:]).decode()
        return ""


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def proxying(port: int = 9, login: str | None = None, *, hangs: bool = False) -> AsyncIterator[ProxyServer]:
    proxy = ProxyServer(port, login, hangs)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
