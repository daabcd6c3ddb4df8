"""The HTTP calls to an MLflow tracking server.

Every call opens its own connection, ends within `timeout_s`, reads at most ANSWER_BYTES_MAX, and follows at most REDIRECTS_MAX
redirects. A redirect is followed only on the same host and port, or from http to https on the same host: the credentials go
nowhere else. The token or password is read from its file at each call, so a new one needs no restart.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode, urljoin, urlsplit

import aiohttp

from router import __version__
from router.control.bulkhead import Bulkhead, BulkheadResolver
from router.control.forward_proxy import ForwardProxy, proxy_for, request_options
from router.control.versions import mlflow_answer
from router.control.versions.mlflow_answer import ANSWER_BYTES_MAX, Answer
from router.errors import Refusal
from router.runtime.text import secret_text
from router.settings.sections.mlflow import MlflowSettings
from router.settings.sections.proxy import DEFAULT_PORTS

SECRET_BYTES_MAX: Final = 64 << 10
REDIRECTS_MAX: Final = 3
CALLS_MAX: Final = 4
"""Concurrent name resolutions."""
_REDIRECTS: Final = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    body: dict[str, Any] | None
    headers: dict[str, str]


class MlflowHttp:
    """One tracking server. Errors are Refusals."""

    def __init__(self, server: MlflowSettings) -> None:
        self._server = server
        self._root = f"{server.tracking_uri}/api/2.0/mlflow"
        self._timeout = aiohttp.ClientTimeout(total=server.timeout_s, connect=server.connect_timeout_s)
        self._bulkhead = Bulkhead("mlflow", CALLS_MAX)
        self._credentials_read: asyncio.Future[dict[str, str]] | None = None

    async def call(
        self, method: str, path: str, query: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the document of the answer; raise Refusal. The calls of MLflow that the router uses are idempotent."""
        url = f"{self._root}/{path}" + (f"?{urlencode(query, quote_via=quote, safe='')}" if query else "")
        proxy: ForwardProxy | None = None
        try:
            proxy = self._proxy(url)
            async with asyncio.timeout(self._server.timeout_s):  # reading the secret counts, too: its disk may hang
                headers = {"Accept": "application/json", "User-Agent": f"rollback-router/{__version__}"}
                headers |= await self._auth_header()
                return mlflow_answer.parse(await self._followed(_Call(method, body, headers), url), self._server)
        except TimeoutError:
            raise self._unreachable(f"no answer within {self._server.timeout_s:g} s", proxy) from None
        except aiohttp.ClientHttpProxyError as error:
            raise self._unreachable(_refused_by_proxy(error), proxy) from None
        except aiohttp.ClientError as error:
            raise self._unreachable(_described(error), proxy) from None
        except secret_text.SecretUnusable as error:
            raise self._unreachable(_unusable(self._server, error), proxy) from None
        except (OSError, ValueError) as error:
            raise self._unreachable(str(error), proxy) from None

    def _unreachable(self, why: str, proxy: ForwardProxy | None) -> Refusal:
        return mlflow_answer.unreachable(self._server, why if proxy is None else f"{why}, by {proxy}")

    def _proxy(self, url: str) -> ForwardProxy | None:
        return proxy_for(url, self._server.proxy, "mlflow.proxy")

    async def _followed(self, call: _Call, url: str) -> Answer:
        answer, location = await self._sent(call, url)
        for _ in range(REDIRECTS_MAX):
            if answer.status not in _REDIRECTS or not location:
                return answer
            target = _joined(url, location)
            if (objection := redirect_objection(url, target)) is not None:
                raise mlflow_answer.not_mlflow(answer, objection)
            url = target
            answer, location = await self._sent(call, url)
        if answer.status in _REDIRECTS:
            raise mlflow_answer.not_mlflow(answer, f"it redirects more than {REDIRECTS_MAX} times")
        return answer

    async def _sent(self, call: _Call, url: str) -> tuple[Answer, str]:
        """Return the answer and its Location."""
        proxy = self._proxy(url)
        connector = aiohttp.TCPConnector(resolver=BulkheadResolver(self._bulkhead), force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            async with session.request(
                call.method,
                url,
                json=call.body,
                allow_redirects=False,
                **request_options(proxy, url, call.headers),
            ) as response:
                raw = await response.content.read(ANSWER_BYTES_MAX + 1)
                while len(raw) <= ANSWER_BYTES_MAX and (more := await response.content.read(ANSWER_BYTES_MAX)):
                    raw += more
                challenge = response.headers.get("WWW-Authenticate", "").partition(" ")[0]
                kind = response.headers.get("Content-Type", "")
                return Answer(url, response.status, kind, raw, challenge), response.headers.get("Location", "")

    async def _auth_header(self) -> dict[str, str]:
        """Return the Authorization field. At most one thread waits for the file, because the thread pool is shared."""
        if self._credentials_read is None or self._credentials_read.done():
            self._credentials_read = asyncio.get_running_loop().run_in_executor(None, _credentials, self._server)
            self._credentials_read.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(self._credentials_read)


def _joined(url: str, location: str) -> str:
    """Return the address that a Location names; an empty text if it is none."""
    try:
        target = urljoin(url, location)
        _ = urlsplit(target).port
    except ValueError:  # a host in brackets that is no address, or no port
        return ""
    return target


def redirect_objection(url: str, target: str) -> str | None:
    """Return why a redirect from `url` to `target` is not followed; None if it is: the credentials stay with their host."""
    before, after = urlsplit(url), urlsplit(target)
    if after.scheme not in DEFAULT_PORTS or after.hostname is None:
        return "it redirects to no HTTP URL"
    ports = [parts.port or DEFAULT_PORTS[parts.scheme] for parts in (before, after)]
    if before.hostname != after.hostname:
        return f"it redirects to the host {after.hostname} (a login page?), and the credentials go to no other host"
    upgrade = (before.scheme, after.scheme) == ("http", "https")
    if ports[0] != ports[1] and not (upgrade and ports[1] == DEFAULT_PORTS["https"]):
        return f"it redirects to port {ports[1]}: set mlflow.tracking_uri to that address if MLflow is there"
    if before.scheme != after.scheme and not upgrade:
        return "it redirects from https to http"
    return None


def _refused_by_proxy(error: aiohttp.ClientHttpProxyError) -> str:
    remedy = ": set its user and password in mlflow.proxy" if error.status == 407 else ""
    return f"the proxy answered {error.status} {error.message}{remedy}"


def _described(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"no connection to the proxy ({error.os_error.strerror or type(error.os_error).__name__})"
    return str(error) or type(error).__name__


def complaint(server: MlflowSettings) -> str | None:
    """Return the error of the secret's file; None if it is usable."""
    try:
        _credentials(server)
    except (OSError, ValueError) as error:
        return _unusable(server, error)
    return None


def _unusable(server: MlflowSettings, error: Exception) -> str:
    return f"mlflow.secret_file {server.secret_file}: {getattr(error, 'strerror', None) or error}"


def _credentials(server: MlflowSettings) -> dict[str, str]:
    """Return the Authorization field, if a secret is configured; raise OSError or ValueError if its file is unusable."""
    if server.secret_file is None:
        return {}
    secret = secret_text.from_file(
        server.secret_file, source="it", bytes_max=SECRET_BYTES_MAX, ascii_only=server.user is None
    )
    if server.user is None:
        return {"Authorization": f"Bearer {secret}"}
    encoded = base64.b64encode(f"{server.user}:{secret}".encode()).decode()  # RFC 7617 §2
    return {"Authorization": f"Basic {encoded}"}
