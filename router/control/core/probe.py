"""One active health check: a request (or only a connection) to one endpoint, with its result.

Connections stay open between probes, redirects are not followed, and at most `RESPONSE_BYTES_MAX` bytes of an answer are
read. A failed connection (`connect_failed`) differs from a wrong, late or incomplete answer: only a failed connection
can be evidence that a version is unreachable (docs/behaviour/judging.md#triggers).
"""

from __future__ import annotations

import asyncio
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import aiohttp
import orjson
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

from router import __version__
from router.errors import StartError
from router.rollout import answer_error
from router.rollout.model.endpoint import Endpoint, parse_endpoint
from router.rollout.model.identity import Identity, certificate_names, models_in
from router.rollout.model.rewrite import AS_IT_IS, SentRewrite
from router.rollout.work_paths import has_known_answers
from router.runtime import clock
from router.settings.sections.service import Probe
from router.settings.settings import Settings
from router.tls import certificate_info
from router.tls import contexts as tls_contexts
from router.tls.contexts import BackendTls
from router.tls.kept_files import KeptFiles, backend_place, probing_context

RESPONSE_BYTES_MAX: Final = 64 * 1024
"""A longer answer is judged by its status and this part of its text; its connection is closed."""
DETAIL_CHARS_MAX: Final = 200
UNAUTHORISED: Final = "the server wants credentials: give the version a headers_file"
_KEEPALIVE_S: Final = 75.0
_RESOLVED_FOR_S: Final = 10
_PREPARED_MAX: Final = 1024
"""Requests that are kept prepared; beyond that number all of them are prepared anew."""
_HEADERS: Final = {"User-Agent": f"rollback-router-probe/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe. `ms`: its duration; `connect_failed`: no connection could be made.

    `unknown`: the server wants credentials (401, 403): the answer is no evidence about the model, and `ok` only says whether
    the settings take it for ready. `late`: connected, but without a whole answer in time. `identity`: of an answer that was read.
    """

    ok: bool
    detail: str
    ms: float
    connect_failed: bool = False
    unknown: bool = False
    late: bool = False
    identity: Identity | None = None


@dataclass(slots=True)
class _Attempt:
    """How one probe connects (`context` None: without TLS), and the state of its connection if it fails."""

    tls: BackendTls
    rewrite: SentRewrite
    context: ssl.SSLContext | None = None
    connected: bool = False
    created: bool = False
    reused: bool = False
    unknown: bool = False
    certificate: tuple[str, ...] = ()
    """The names of the server's certificate; empty without TLS."""
    identity: Identity | None = None


_attempt: ContextVar[_Attempt] = ContextVar("attempt")
"""The attempt of the task that asks a connector for a connection."""


class _NotingConnector(aiohttp.BaseConnector):
    """Notes in the attempt whether its connection is a new one or a kept one, and the names of the server's certificate: an
    answer that has arrived whole has no connection any more. Traces of aiohttp would cost a third of a probe.
    """

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        attempt = _attempt.get()
        attempt.created = False
        connection = await super().connect(req, traces, timeout)
        attempt.connected = True
        attempt.reused = attempt.reused or not attempt.created
        if attempt.context is not None and (transport := connection.transport) is not None:
            attempt.certificate = certificate_names(transport.get_extra_info("peercert"))
        return connection

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        _attempt.get().created = True
        return await super()._create_connection(req, traces, timeout)


class _TcpConnector(_NotingConnector, aiohttp.TCPConnector):
    """Connections by TCP, with or without TLS."""


class _UnixConnector(_NotingConnector, aiohttp.UnixConnector):
    """Connections to one Unix socket."""


@dataclass(frozen=True, slots=True)
class _PreparedRequest:
    """The request of one probe to one endpoint: it is the same each time."""

    probe: Probe
    rewrite: SentRewrite
    endpoint: Endpoint
    url: URL
    headers: CIMultiDict[str]
    body: bytes | None


class ProbeClient:
    """Sends probes to the endpoints of all services. Make it inside a running event loop and `close` it there.

    `kept` are copies of the files of each `backend_tls`. They are used while the files on the disk cannot be used: a broken
    file of ours says nothing about a backend.
    """

    def __init__(self, settings: Settings, kept: KeptFiles = MappingProxyType({})) -> None:
        self._kept = kept
        self.reconfigure(settings)
        self._session = _session(_TcpConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=_RESOLVED_FOR_S))

    def reconfigure(self, settings: Settings) -> None:
        """Apply another connect timeout; the files of each service's `backend_tls` are read again at the next probe."""
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.timeouts.connect_timeout_s)
        self._prepared: dict[tuple[str, str], _PreparedRequest] = {}
        self._tls = {
            name: tls_contexts.backend_of(service.backend_tls.model_dump(), self._kept.get(backend_place(name)))
            for name, service in settings.services.items()
        }
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def probe(
        self,
        service: str,
        url: str,
        probe: Probe | Literal["none"],
        timeout_s: float,
        rewrite: SentRewrite = AS_IT_IS,
    ) -> ProbeResult:
        """Send one probe as `rewrite` says; every failure of the other side becomes a result."""
        started_ns = clock.now_ns()
        attempt = _Attempt(self._tls.get(service, BackendTls()), rewrite)
        failed, late = None, False
        try:
            async with asyncio.timeout(timeout_s):
                if url.startswith("https:"):
                    attempt.context = await self._context(service, attempt.tls)
                if probe == "none":
                    await _connect(url, attempt)
                else:
                    failed = await self._request(self._prepare(service, url, probe, rewrite), attempt)
        except TimeoutError:
            failed = f"no {'whole answer' if attempt.connected else 'connection'} within {timeout_s:g} s"
            late = attempt.connected
        # ValueError: a server_name that TLS cannot request
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failed = _reason(error)
        except StartError as error:
            failed = error.detail
        detail = (failed or ("connected" if probe == "none" else "ok"))[:DETAIL_CHARS_MAX]
        if attempt.unknown and failed is None:
            detail = UNAUTHORISED
        connect_failed = failed is not None and not attempt.connected
        return ProbeResult(
            failed is None, detail, ms_since(started_ns), connect_failed, attempt.unknown, late, attempt.identity
        )

    async def _context(self, service: str, tls: BackendTls) -> ssl.SSLContext:
        contexts = self._contexts  # a reload replaces the dictionary; this context belongs to the old settings
        context = contexts.get(service)
        if context is None:
            loop = asyncio.get_running_loop()
            context = contexts[service] = await loop.run_in_executor(None, probing_context, tls)
        return context

    def _prepare(self, service: str, url: str, probe: Probe, rewrite: SentRewrite) -> _PreparedRequest:
        known = self._prepared.get((service, url))
        if known is None or known.probe is not probe or known.rewrite is not rewrite:
            if len(self._prepared) >= _PREPARED_MAX:
                self._prepared.clear()
            known = self._prepared[service, url] = _prepared(url, probe, rewrite)
        return known

    async def _request(self, request: _PreparedRequest, attempt: _Attempt) -> str | None:
        """Return the error of the answer; None if it is good.

        A kept connection that the backend has closed meanwhile is no evidence: the probe is sent once more on a new one.
        """
        _attempt.set(attempt)
        if request.endpoint.unix:  # no connection is kept, as connecting there costs nothing
            async with _session(_UnixConnector(request.endpoint.unix)) as session:
                return await self._request_once(session, request, attempt)
        try:
            return await self._request_once(self._session, request, attempt)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not attempt.reused:
                raise
        attempt.connected = attempt.reused = False
        return await self._request_once(self._session, request, attempt)

    async def _request_once(
        self, session: aiohttp.ClientSession, request: _PreparedRequest, attempt: _Attempt
    ) -> str | None:
        probe = request.probe
        async with session.request(
            probe.method,
            request.url,
            ssl=attempt.context if attempt.context is not None else True,
            server_hostname=attempt.tls.server_name if request.endpoint.secure else None,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
            timeout=self._timeout,
        ) as response:
            attempt.unknown = response.status in (401, 403)
            if attempt.unknown:
                return (
                    None if response.status < probe.expect_status_below else f"status {response.status}: {UNAUTHORISED}"
                )
            if response.status >= probe.expect_status_below:
                return f"status {response.status}, expected below {probe.expect_status_below}"
            text = await _read(response)
            attempt.identity = Identity(
                f"{probe.method} {probe.path}", response.status // 100, models_in(text), attempt.certificate
            )
            if probe.expect_text is not None and probe.expect_text not in text:
                return f"status {response.status}, but the answer does not hold {probe.expect_text!r}"
            if probe.inference and response.status < 300 and _holds_error(probe.path, text):
                return f"status {response.status}, but the answer is an error: {text.strip()}"
            return None


def _prepared(url: str, probe: Probe, rewrite: SentRewrite) -> _PreparedRequest:
    endpoint = parse_endpoint(url)
    typed = {"Content-Type": probe.content_type} if probe.body is not None else {}
    return _PreparedRequest(
        probe,
        rewrite,
        endpoint,
        _url(endpoint, rewrite.target(probe.path)),
        CIMultiDict(rewrite.headers(_HEADERS | typed)),
        probe.body.encode() if probe.body is not None else None,
    )


def _holds_error(path: str, text: str) -> bool:
    """Return whether an inference was answered by an error: as JSON on a known route, or in a stream of events or lines."""
    if "rror" not in text and '"ERROR"' not in text:
        return False
    whole = _json(text)
    if isinstance(whole, dict):
        known = has_known_answers(path.partition("?")[0])
        return known and answer_error.find(whole) is not None and answer_error.is_alone(whole)
    lines = text.splitlines()
    return any(
        line.replace(" ", "") == "event:error" or answer_error.find(_json(line.removeprefix("data:"))) is not None
        for line in lines
    )


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _url(endpoint: Endpoint, target: str) -> URL:
    return URL(f"{'https' if endpoint.secure else 'http'}://{endpoint.authority}{target}", encoded=True)


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)


async def _connect(url: str, attempt: _Attempt) -> None:
    endpoint = parse_endpoint(url)
    if endpoint.unix:
        _, writer = await asyncio.open_unix_connection(endpoint.unix)
    else:
        _, writer = await asyncio.open_connection(
            endpoint.host,
            endpoint.port,
            ssl=attempt.context,
            server_hostname=(attempt.tls.server_name or endpoint.host) if endpoint.secure else None,
        )
    attempt.connected = True
    writer.close()


def _reason(error: Exception) -> str:
    """Return why a probe failed. For TLS only the cause: aiohttp's text hides it."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {certificate_info.reason(cause)}"
    return str(error) or type(error).__name__


async def _read(response: aiohttp.ClientResponse) -> str:
    """Return the text of the answer, at most `RESPONSE_BYTES_MAX` bytes; a longer answer closes its connection."""
    text, content = bytearray(), response.content
    while not content.at_eof():
        text += await content.read(8192)
        if len(text) >= RESPONSE_BYTES_MAX:
            response.close()
            break
    return bytes(text[:RESPONSE_BYTES_MAX]).decode(errors="replace")


def ms_since(started_ns: int) -> float:
    """Return the milliseconds since `started_ns`."""
    return round((clock.now_ns() - started_ns) / 1e6, 3)
