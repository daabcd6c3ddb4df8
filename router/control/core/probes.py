"""Active health checks, which also keep every target warm: each endpoint of each watched slot is asked all the time.

One task an endpoint, so two probes of one endpoint never overlap; a slow endpoint delays nobody else. Connections stay
open between probes, redirects are not followed, and at most `RESPONSE_BYTES_MAX` of an answer are read. A connection that
could not be made (`connect_failed`) is told from an answer that was wrong, late or broken off: only the first can be
evidence that a version is unreachable (README, "Triggers").
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

import aiohttp
from yarl import URL

from router.control.core.probe import (
    _HEADERS,
    _KEEPALIVE_S,
    DETAIL_CHARS_MAX,
    ProbeResult,
    _Attempt,
    _connect,
    _described,
    _ms_since,
    _read,
    _reason,
    _session,
)
from router.errors import StartError
from router.rollout.model.endpoint import Endpoint, parse_endpoint
from router.rollout.model.events import ProbeCompleted
from router.runtime import clock
from router.runtime.tasks import Tasks
from router.settings.sections.service import Probe
from router.settings.settings import Settings
from router.tls import contexts as tls_contexts
from router.tls.contexts import BackendTls

_RESOLVED_FOR_S: Final = 10


@dataclass(slots=True)
class _Endpoint:
    """One watched endpoint: its loop, its last result and the lock that keeps its probes apart."""

    url: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: ProbeResult | None = None
    last_ns: int = 0
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _Watched:
    """One watched slot."""

    service: str
    slot: int
    version: str
    probe: Probe | Literal["none"]
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)


class Probes:
    """The probes of all slots of all services. Make it inside a running event loop and `close` it there.

    `on_completed` is called on the loop for every probe that ended while its slot was watched, also for those of
    `probe_now`; it must not raise. `sleep` is replaced by tests.
    """

    def __init__(
        self,
        settings: Settings,
        tasks: Tasks,
        on_completed: Callable[[ProbeCompleted], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tasks = tasks
        self._on_completed = on_completed
        self._sleep = sleep
        self.reconfigure(settings)
        self._watched: dict[tuple[str, int], _Watched] = {}
        self._session = _session(
            aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=_RESOLVED_FOR_S)
        )

    def reconfigure(self, settings: Settings) -> None:
        """Take over another connect timeout, and read the files of each service's `backend_tls` anew when they are needed;
        what is probed how, `watch` is told.
        """
        self._connect_timeout_s = settings.timeouts.connect_timeout_s
        self._tls = {name: tls_contexts.backend_of(s.backend_tls.model_dump()) for name, s in settings.services.items()}
        self._contexts: dict[str, ssl.SSLContext] = {}

    def watch(
        self, service: str, slot: int, version: str, endpoints: tuple[str, ...], probe: Probe | Literal["none"]
    ) -> None:
        """Probe these endpoints (canonical URLs) from now on. Called again for a slot, it changes what is watched: an
        endpoint that stays keeps its last result, unless the version or the probe is another one.
        """
        known = self._watched.get((service, slot))
        if known is not None and (known.version, known.probe) != (version, probe):
            self.unwatch(service, slot)
            known = None
        watched = known or _Watched(service, slot, version, probe)
        self._watched[service, slot] = watched
        for url in watched.endpoints.keys() - set(endpoints):
            _stop(watched.endpoints.pop(url))
        for url in endpoints:
            if url not in watched.endpoints:
                endpoint = watched.endpoints[url] = _Endpoint(url)
                endpoint.task = self._tasks.spawn(self._keep_probing(watched, endpoint), f"probe {service} {url}")
        watched.endpoints = {url: watched.endpoints[url] for url in endpoints}

    def unwatch(self, service: str, slot: int) -> None:
        """Stop probing a slot; a probe under way is given up and not reported. Unknown slots are none of our business."""
        watched = self._watched.pop((service, slot), None)
        for endpoint in watched.endpoints.values() if watched else ():
            _stop(endpoint)

    async def probe_now(self, service: str, slot: int, timeout_s: float) -> ProbeResult:
        """Ask every endpoint of a slot once more, at once, and return within `timeout_s`. It is good if one answers well:
        an endpoint that fails is not yet the version that fails. A slot that is not watched is bad.
        """
        watched = self._watched.get((service, slot))
        if watched is None:
            return ProbeResult(False, f"slot {slot} of {service} is not watched", 0.0)
        started_ns = clock.now_ns()
        results = await asyncio.gather(
            *(self._probe_within(watched, endpoint, timeout_s) for endpoint in watched.endpoints.values())
        )
        good = sum(result.ok for result in results)
        failures = [f"{url}: {r.detail}" for url, r in zip(watched.endpoints, results, strict=True) if not r.ok]
        detail = "; ".join([f"{good} of {len(results)} endpoints good", *failures])
        return ProbeResult(good > 0, detail, _ms_since(started_ns), all(result.connect_failed for result in results))

    async def check(
        self, service: str, endpoints: tuple[str, ...], probe: Probe | Literal["none"], timeout_s: float
    ) -> dict[str, ProbeResult]:
        """Ask endpoints that are not watched (yet), each once; return the result by URL. Nothing is reported."""
        asked = (self._ask(service, url, probe, timeout_s) for url in endpoints)
        return dict(zip(endpoints, await asyncio.gather(*asked), strict=True))

    def targets(self, service: str, slot: int) -> list[dict[str, object]]:
        """Return `{url, ready, last_probe: {ok, detail, ms, age_s} | None}` an endpoint, in the order they were given."""
        watched = self._watched.get((service, slot))
        now_ns = clock.now_ns()
        return [_described(endpoint, now_ns) for endpoint in (watched.endpoints.values() if watched else ())]

    async def close(self) -> None:
        """Stop all probes and close their connections."""
        for service, slot in list(self._watched):
            self.unwatch(service, slot)
        await self._session.close()

    # -- one endpoint
    async def _keep_probing(self, watched: _Watched, endpoint: _Endpoint) -> None:
        settings = _settings_of(watched.probe)
        while True:
            started_ns = clock.now_ns()
            async with endpoint.lock:
                self._report(watched, endpoint, await self._asked(watched, endpoint, settings.probe_timeout_s))
            await self._sleep(max(0.0, settings.every_s - _ms_since(started_ns) / 1000))

    async def _probe_within(self, watched: _Watched, endpoint: _Endpoint, timeout_s: float) -> ProbeResult:
        started_ns = clock.now_ns()
        try:
            await asyncio.wait_for(endpoint.lock.acquire(), timeout_s)
        except TimeoutError:
            detail = f"the probe before this one was not answered within {timeout_s:g} s"
            return ProbeResult(False, detail, _ms_since(started_ns))
        try:
            left_s = max(0.0, timeout_s - _ms_since(started_ns) / 1000)
            result = await self._asked(watched, endpoint, left_s)
            self._report(watched, endpoint, result)
            return result
        finally:
            endpoint.lock.release()

    def _report(self, watched: _Watched, endpoint: _Endpoint, result: ProbeResult) -> None:
        current = self._watched.get((watched.service, watched.slot))
        if current is not watched or watched.endpoints.get(endpoint.url) is not endpoint:
            return  # unwatched meanwhile: the slot may have another tenant by now
        endpoint.last, endpoint.last_ns = result, clock.now_ns()
        self._on_completed(
            ProbeCompleted(
                service=watched.service,
                slot=watched.slot,
                version=watched.version,
                endpoint_url=endpoint.url,
                ok=result.ok,
                connect_failed=result.connect_failed,
                detail=result.detail,
                ms=result.ms,
                at_ns=endpoint.last_ns,
                inference=_settings_of(watched.probe).inference,
            )
        )

    async def _asked(self, watched: _Watched, endpoint: _Endpoint, timeout_s: float) -> ProbeResult:
        return await self._ask(watched.service, endpoint.url, watched.probe, timeout_s)

    async def _ask(self, service: str, url: str, probe: Probe | Literal["none"], timeout_s: float) -> ProbeResult:
        """Send one probe; every way in which the other side can fail becomes a result."""
        started_ns = clock.now_ns()
        attempt = _Attempt(tls=self._tls.get(service, BackendTls()))
        failed = None
        try:
            async with asyncio.timeout(timeout_s):
                if url.startswith("https:"):
                    attempt.context = await self._context(service, attempt.tls)
                if probe == "none":
                    await _connect(url, attempt)
                else:
                    failed = await self._request(url, probe, attempt)
        except TimeoutError:
            failed = f"no {'whole answer' if attempt.connected else 'connection'} within {timeout_s:g} s"
        except (
            aiohttp.ClientError,
            OSError,
            ValueError,
        ) as error:  # ValueError: a server_name that cannot be asked for
            failed = _reason(error)
        except StartError as error:
            failed = error.detail
        detail = (failed or ("connected" if probe == "none" else "ok"))[:DETAIL_CHARS_MAX]
        connect_failed = failed is not None and not attempt.connected
        return ProbeResult(failed is None, detail, _ms_since(started_ns), connect_failed)

    async def _context(self, service: str, tls: BackendTls) -> ssl.SSLContext:
        contexts = self._contexts  # those of other settings that come meanwhile are none of ours
        context = contexts.get(service)
        if context is None:
            loop = asyncio.get_running_loop()
            context = contexts[service] = await loop.run_in_executor(None, tls_contexts.backend_context, tls)
        return context

    async def _request(self, url: str, probe: Probe, attempt: _Attempt) -> str | None:
        """Return what is wrong with the answer, None if nothing is. A kept connection that the other side had closed
        meanwhile is no evidence: the same probe goes once more over a new one.
        """
        try:
            return await self._request_once(url, probe, attempt)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not attempt.reused:
                raise
        attempt.connected = attempt.reused = False
        return await self._request_once(url, probe, attempt)

    @asynccontextmanager
    async def _session_of(self, endpoint: Endpoint) -> AsyncIterator[aiohttp.ClientSession]:
        """The session that keeps connections open; for a Unix socket one of its own, for connecting there costs nothing."""
        if not endpoint.unix:
            yield self._session
            return
        connector = aiohttp.UnixConnector(endpoint.unix)
        async with _session(connector) as session:
            yield session

    async def _request_once(self, url: str, probe: Probe, attempt: _Attempt) -> str | None:
        body = probe.body.encode() if probe.body is not None else None
        endpoint = parse_endpoint(url)
        async with (
            self._session_of(endpoint) as session,
            session.request(
                probe.method,
                URL(f"{'https' if endpoint.secure else 'http'}://{endpoint.authority}{probe.path}", encoded=True),
                ssl=attempt.context if attempt.context is not None else True,
                server_hostname=attempt.tls.server_name if endpoint.secure else None,
                data=body,
                headers=_HEADERS | ({"Content-Type": probe.content_type} if body is not None else {}),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
                trace_request_ctx=attempt,
            ) as response,
        ):
            if response.status >= probe.expect_status_below:
                return f"status {response.status}, expected below {probe.expect_status_below}"
            text = await _read(response)
            if probe.expect_text is not None and probe.expect_text not in text:
                return f"status {response.status}, but the answer does not hold {probe.expect_text!r}"
            return None


def _settings_of(probe: Probe | Literal["none"]) -> Probe:
    """Return the timing of a probe; that of the defaults where only a connection is made."""
    return Probe() if probe == "none" else probe


def _stop(endpoint: _Endpoint) -> None:
    if endpoint.task is not None:
        endpoint.task.cancel()
