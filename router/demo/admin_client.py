"""A client with the few calls of the admin API that the demo needs."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from router.errors import CommandError, ProblemError
from router.errors.codes import CommandCode
from router.runtime import clock


class AdminClient:
    """An admin API at `url`, for one service."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url
        self._service = f"/v1/services/{quote(service, safe='')}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self._url, timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def status(self) -> dict[str, Any]:
        """Return the service's document."""
        return await self._call("GET", self._service)

    async def deploy(self, version: str, endpoint: str) -> dict[str, Any]:
        """Bring `version` in as candidate."""
        return await self._call("POST", f"{self._service}/deploy", {"version": version, "endpoints": [endpoint]})

    async def promote(self, version: str) -> dict[str, Any]:
        """Make the candidate active."""
        return await self._call("POST", f"{self._service}/promote", {"version": version})

    async def journal(self, after: int) -> list[dict[str, Any]]:
        """Return the journal's entries after number `after`."""
        return list((await self._call("GET", f"/v1/journal?after={after}&limit=1000"))["entries"])

    async def incident(self, identity: str) -> dict[str, Any]:
        """Return the facts of one rollback."""
        return await self._call("GET", f"/v1/incidents/{quote(str(identity), safe='')}")

    async def wait_ready(self, within_s: float) -> None:
        """Return once the router takes traffic; raise StartError if it does not."""
        until_s = clock.now_s() + within_s
        while clock.now_s() < until_s:
            try:
                async with self._open_session().get("/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
        raise CommandError(CommandCode.DEMO_NOT_READY, f"the router was not ready after {within_s:g} s")

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with self._open_session().request(method, path, json=body) as response:
            document = await response.json(content_type=None)
            if response.status >= 400:
                raise ProblemError(
                    response.status, {**document, "detail": f"{method} {path}: {document.get('detail')}"}
                )
            return dict(document)

    def _open_session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with`"
        return self._session
