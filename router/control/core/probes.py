"""Schedules the active health checks, which also keep every target warm: each endpoint of each watched version, all the time.

One task an endpoint: two probes of one endpoint never overlap, and a slow endpoint delays no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from router.control.core.probe import ProbeClient, ProbeResult, ms_since
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model.events import ProbeCompleted
from router.rollout.model.rewrite import AS_IT_IS, SentRewrite
from router.runtime import clock
from router.runtime.tasks import Tasks
from router.runtime.text.plurals import counted
from router.settings.sections.service import Probe
from router.settings.settings import Settings
from router.tls.kept_files import KeptFiles

HURRIED_EVERY_S: Final = 1.0
"""Seconds between two probes while a version is verified or recovers, at a start, and after a failure."""
GATE_PROBES: Final = RolloutLimits().gate_probes
"""After a failure, or a start of control, a standby is probed often until a rollback to it is possible again."""


@dataclass(slots=True)
class _Endpoint:
    """One watched endpoint: its task, its last result, and the lock that keeps its probes from overlapping."""

    url: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: ProbeResult | None = None
    last_ns: int = 0
    begun_ns: int = 0
    good: int = 0
    """Consecutive results that were not bad."""
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class _WatchedVersion:
    """One watched version."""

    service: str
    version: str
    probe: Probe | Literal["none"]
    rewrite: SentRewrite = AS_IT_IS
    hurried: bool = False
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)


class Probes:
    """The probes of all versions of all services. Make it inside a running event loop and `close` it there.

    `on_completed` is called on the loop for every probe that ended while its version was watched, those of `probe_now` included;
    it must not raise. Tests replace `sleep`. `kept` are copies of TLS files (ProbeClient).
    """

    def __init__(
        self,
        settings: Settings,
        tasks: Tasks,
        on_completed: Callable[[ProbeCompleted], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        kept: KeptFiles = MappingProxyType({}),
    ) -> None:
        self._tasks = tasks
        self._on_completed = on_completed
        self._sleep = sleep
        self._client = ProbeClient(settings, kept)
        self._last_useful_ns: Callable[[str, str, str], int] = lambda service, version, url: 0
        self._watched: dict[tuple[str, str], _WatchedVersion] = {}

    def reconfigure(self, settings: Settings) -> None:
        """Apply another connect timeout and other `backend_tls`; `watch` gets the settings of the probes themselves."""
        self._client.reconfigure(settings)

    def set_useful_source(self, source: Callable[[str, str, str], int]) -> None:
        """Ask `source` when an endpoint (service, version, URL) gave its last useful inference answer (monotonic nanoseconds; 0:
        unknown). Such an answer proves more than an inference probe, which is left out then.
        """
        self._last_useful_ns = source

    def watch(
        self,
        service: str,
        version: str,
        endpoints: tuple[str, ...],
        probe: Probe | Literal["none"],
        *,
        hurried: bool = False,
        rewrite: SentRewrite = AS_IT_IS,
    ) -> None:
        """Probe these endpoints (canonical URLs) from now on, as `rewrite` says; `hurried`: at least once a second.

        A further call for the version changes the endpoints. An endpoint that stays keeps its last result, unless the probe
        changes.
        """
        known = self._watched.get((service, version))
        if known is not None and (known.probe, known.rewrite) != (probe, rewrite):
            self.unwatch(service, version)
            known = None
        watched = known or _WatchedVersion(service, version, probe, rewrite)
        if hurried and not watched.hurried:
            self._hurry(watched)
        watched.hurried = hurried
        self._watched[service, version] = watched
        for url in watched.endpoints.keys() - set(endpoints):
            _stop(watched.endpoints.pop(url))
        for url in endpoints:
            if url not in watched.endpoints:
                endpoint = watched.endpoints[url] = _Endpoint(url)
                self._begin(watched, endpoint)
        watched.endpoints = {url: watched.endpoints[url] for url in endpoints}

    def _hurry(self, watched: _WatchedVersion) -> None:
        """End the pauses between probes."""
        for endpoint in watched.endpoints.values():
            if not endpoint.lock.locked():
                _stop(endpoint)
                self._begin(watched, endpoint)

    def _begin(self, watched: _WatchedVersion, endpoint: _Endpoint) -> None:
        task = self._keep_probing(watched, endpoint)
        endpoint.task = self._tasks.spawn(task, f"probe {watched.service} {endpoint.url}")

    def unwatch(self, service: str, version: str) -> None:
        """Stop probing a version. A probe in flight is cancelled and not reported. An unknown version is ignored."""
        watched = self._watched.pop((service, version), None)
        for endpoint in watched.endpoints.values() if watched else ():
            _stop(endpoint)

    async def probe_now(self, service: str, version: str, timeout_s: float) -> ProbeResult:
        """Probe every endpoint of a version once, at once; return within `timeout_s`.

        The result is good if one endpoint is good: one failing endpoint does not make a failing version. The result of a
        version that is not watched is bad.
        """
        watched = self._watched.get((service, version))
        if watched is None:
            return ProbeResult(False, f"{version} of {service} is not watched", 0.0)
        started_ns = clock.now_ns()
        results = await asyncio.gather(
            *(self._probe_within(watched, endpoint, timeout_s) for endpoint in watched.endpoints.values())
        )
        good = sum(result.ok for result in results)
        failures = [f"{url}: {r.detail}" for url, r in zip(watched.endpoints, results, strict=True) if not r.ok]
        detail = "; ".join([f"{good} of {counted(len(results), 'endpoint')} good", *failures])
        return ProbeResult(good > 0, detail, ms_since(started_ns), all(result.connect_failed for result in results))

    async def check(
        self,
        service: str,
        endpoints: tuple[str, ...],
        probe: Probe | Literal["none"],
        timeout_s: float,
        rewrite: SentRewrite = AS_IT_IS,
    ) -> dict[str, ProbeResult]:
        """Probe endpoints that are not watched, each once; return the results by URL. Nothing is reported."""
        probes = (self._client.probe(service, url, probe, timeout_s, rewrite) for url in endpoints)
        return dict(zip(endpoints, await asyncio.gather(*probes), strict=True))

    def targets(self, service: str, version: str) -> list[dict[str, object]]:
        """Return `{url, ready, last_probe: {ok, detail, ms, age_s} | None}` for each endpoint, in the order of the settings."""
        watched = self._watched.get((service, version))
        now_ns = clock.now_ns()
        return [_described(endpoint, now_ns) for endpoint in (watched.endpoints.values() if watched else ())]

    async def close(self) -> None:
        """Stop all probes and close their connections."""
        for service, version in list(self._watched):
            self.unwatch(service, version)
        await self._client.close()

    # -- one endpoint
    async def _keep_probing(self, watched: _WatchedVersion, endpoint: _Endpoint) -> None:
        settings = _settings_of(watched.probe)
        while True:
            endpoint.begun_ns = clock.now_ns()
            async with endpoint.lock:
                self._report(watched, endpoint, await self._probe(watched, endpoint, settings.probe_timeout_s))
            await self._sleep(_left_s(_interval_s(watched, endpoint), endpoint.begun_ns))
            while (left_s := self._postponed_s(watched, endpoint)) > 0:
                await self._sleep(left_s)

    def _postponed_s(self, watched: _WatchedVersion, endpoint: _Endpoint) -> float:
        """Return for how long a due probe can be left out, because a client got a useful answer: that proves more.

        None is left out before GATE_PROBES good ones in a row: automation wants them of a standby, which may answer replays.
        """
        settings, last = _settings_of(watched.probe), endpoint.last
        if not settings.inference or watched.hurried or last is None or not last.ok or endpoint.good < GATE_PROBES:
            return 0.0
        useful_ns = self._last_useful_ns(watched.service, watched.version, endpoint.url)
        return _left_s(settings.interval_s, useful_ns) if useful_ns else 0.0

    async def _probe_within(self, watched: _WatchedVersion, endpoint: _Endpoint, timeout_s: float) -> ProbeResult:
        started_ns = clock.now_ns()
        try:
            await asyncio.wait_for(endpoint.lock.acquire(), timeout_s)
        except TimeoutError:
            detail = f"the probe before this one was not answered within {timeout_s:g} s"
            return ProbeResult(False, detail, ms_since(started_ns))
        try:
            left_s = max(0.0, timeout_s - ms_since(started_ns) / 1000)
            result = await self._probe(watched, endpoint, left_s)
            self._report(watched, endpoint, result)
            return result
        finally:
            endpoint.lock.release()

    def _report(self, watched: _WatchedVersion, endpoint: _Endpoint, result: ProbeResult) -> None:
        current = self._watched.get((watched.service, watched.version))
        if current is not watched or watched.endpoints.get(endpoint.url) is not endpoint:
            return  # unwatched meanwhile: the version may be watched anew already
        endpoint.last, endpoint.last_ns = result, clock.now_ns()
        endpoint.good = endpoint.good + 1 if result.ok or result.unknown else 0
        self._on_completed(
            ProbeCompleted(
                service=watched.service,
                version=watched.version,
                endpoint_url=endpoint.url,
                ok=result.ok,
                connect_failed=result.connect_failed,
                detail=result.detail,
                ms=result.ms,
                at_ns=endpoint.last_ns,
                inference=_settings_of(watched.probe).inference,
                unknown=result.unknown,
                late=result.late,
                identity=result.identity,
            )
        )

    async def _probe(self, watched: _WatchedVersion, endpoint: _Endpoint, timeout_s: float) -> ProbeResult:
        return await self._client.probe(watched.service, endpoint.url, watched.probe, timeout_s, watched.rewrite)


def _settings_of(probe: Probe | Literal["none"]) -> Probe:
    """Return the settings that time a probe; the defaults if a probe is only a connection."""
    return Probe() if probe == "none" else probe


def _interval_s(watched: _WatchedVersion, endpoint: _Endpoint) -> float:
    """Return the seconds between two probes of an endpoint: fewer while it matters."""
    interval_s = _settings_of(watched.probe).interval_s
    if watched.hurried or endpoint.good < GATE_PROBES:
        return min(interval_s, HURRIED_EVERY_S)
    return interval_s


def _left_s(interval_s: float, since_ns: int) -> float:
    return max(0.0, interval_s - ms_since(since_ns) / 1000)


def _stop(endpoint: _Endpoint) -> None:
    if endpoint.task is not None:
        endpoint.task.cancel()


def _described(endpoint: _Endpoint, now_ns: int) -> dict[str, object]:
    last = endpoint.last
    probed = last and {
        "ok": last.ok,
        "unknown": last.unknown,
        "detail": last.detail,
        "ms": last.ms,
        "age_s": round((now_ns - endpoint.last_ns) / 1e9, 3),
    }
    return {"url": endpoint.url, "ready": bool(last and last.ok), "last_probe": probed}
