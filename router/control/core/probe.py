"""Active health checks, which also keep every target warm: each endpoint of each watched slot is asked all the time.

One task an endpoint, so two probes of one endpoint never overlap; a slow endpoint delays nobody else. Connections stay
open between probes, redirects are not followed, and at most `RESPONSE_BYTES_MAX` of an answer are read. A connection that
could not be made (`connect_failed`) is told from an answer that was wrong, late or broken off: only the first can be
evidence that a version is unreachable (README, "Triggers").
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import aiohttp

from router import __version__
from router.rollout.model.endpoint import parse_endpoint
from router.runtime import clock
from router.tls import certificate_info
from router.tls.contexts import BackendTls

if TYPE_CHECKING:
    from router.control.core.probes import _Endpoint

RESPONSE_BYTES_MAX: Final = 64 * 1024
"""An answer longer than this is good by its status; its text is searched this far and its connection is given up."""

DETAIL_CHARS_MAX: Final = 200

_KEEPALIVE_S: Final = 75.0

_HEADERS: Final = {"User-Agent": f"rollback-router-probe/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How one probe ended. `ms` from its begin to its end; `connect_failed` says that nobody answered at all."""

    ok: bool
    detail: str
    ms: float
    connect_failed: bool = False


@dataclass(slots=True)
class _Attempt:
    """How one probe is to connect (`context` None: without TLS), and what is known of its connection when it fails."""

    tls: BackendTls
    context: ssl.SSLContext | None = None
    connected: bool = False
    reused: bool = False


def _session(connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(_note_new)
    trace.on_connection_reuseconn.append(_note_reused)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trace_configs=[trace]
    )


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
    """Return why a probe failed; of TLS only what is wrong, for aiohttp's text buries it."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {certificate_info.why(cause)}"
    return str(error) or type(error).__name__


async def _read(response: aiohttp.ClientResponse) -> str:
    """Return the answer's text. What is longer than we read closes its connection instead of being waited for."""
    kept = bytearray()
    async for chunk in response.content.iter_chunked(8192):
        kept += chunk
        if len(kept) >= RESPONSE_BYTES_MAX:
            response.close()
            break
    return bytes(kept[:RESPONSE_BYTES_MAX]).decode(errors="replace")


async def _note_new(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceConnectionCreateEndParams
) -> None:
    context.trace_request_ctx.connected = True


async def _note_reused(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.connected = context.trace_request_ctx.reused = True


def _ms_since(started_ns: int) -> float:
    return round((clock.now_ns() - started_ns) / 1e6, 3)


def _described(endpoint: _Endpoint, now_ns: int) -> dict[str, object]:
    last = endpoint.last
    probed = last and {
        "ok": last.ok,
        "detail": last.detail,
        "ms": last.ms,
        "age_s": round((now_ns - endpoint.last_ns) / 1e9, 3),
    }
    return {"url": endpoint.url, "ready": bool(last and last.ok), "last_probe": probed}
