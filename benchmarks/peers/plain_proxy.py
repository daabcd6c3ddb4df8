"""The usual Python proxy: an aiohttp server and an aiohttp client. `python plain_proxy.py PORT BACKEND`.

Runs in a virtual environment of its own that holds aiohttp and nothing of ours. Bodies are streamed both ways.
"""

from __future__ import annotations

import sys
import uuid

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict

OF_THE_CONNECTION = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
)


class Proxy:
    """Sends everything to one backend and does the header work that is compared."""

    def __init__(self, backend: int) -> None:
        self._origin = f"http://127.0.0.1:{backend}"
        self._session: ClientSession | None = None

    async def session(self, _: web.Application):  # type: ignore[no-untyped-def]  # an aiohttp cleanup context
        """Keep one client for the life of the application."""
        connector = TCPConnector(limit=0)
        self._session = ClientSession(connector=connector, timeout=ClientTimeout(total=120), auto_decompress=False)
        yield
        await self._session.close()

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Relay one request."""
        assert self._session is not None
        headers = CIMultiDict((n, v) for n, v in request.headers.items() if n.lower() not in OF_THE_CONNECTION)
        headers["X-Forwarded-For"] = request.remote or ""
        headers["X-Forwarded-Proto"] = request.scheme
        headers["X-Forwarded-Host"] = request.headers.get("Host", "")
        identity = headers.setdefault("X-Request-ID", str(uuid.uuid4()))
        body = request.content if request.can_read_body else None
        url = self._origin + request.raw_path
        async with self._session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in OF_THE_CONNECTION:
                    response.headers.add(name, value)
            response.headers["X-Request-ID"] = identity
            response.headers["X-Served-Version"] = "v1"
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response


def main() -> None:
    """Serve until ended."""
    port, backend = int(sys.argv[1]), int(sys.argv[2])
    proxy = Proxy(backend)
    application = web.Application(client_max_size=1 << 30)
    application.cleanup_ctx.append(proxy.session)
    application.router.add_route("*", "/{path:.*}", proxy.pass_on)
    web.run_app(application, host="127.0.0.1", port=port, access_log=None, backlog=4096, print=None)


if __name__ == "__main__":
    main()
