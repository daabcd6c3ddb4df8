"""A running router for the pictures and the browser tests of the dashboard: model servers, traffic, and eleven services.

Everything on the page then is real: the figures are measured, the rollbacks are decided by the judge.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from router.demo.fault import Fault, Kind
from router.demo.load import Load
from router.demo.model_server import ModelServer
from router.demo.processes import end, start_router
from router.runtime import clock
from router.runtime.tasks import Tasks

SERVICE: Final = "fraud"
OTHERS: Final = ("anomaly", "churn", "credit-limit", "embeddings", "eta", "ocr", "pricing", "recsys", "spam")
ALONE: Final = "search-rank"
"""A service without a standby."""
TOKEN: Final = "stage"
REQUESTS_PER_S: Final = 30.0
GIVE_UP_S: Final = 8.0
REPLICAS: Final = 2
"""Model servers of each version."""

_QUIET: Final = logging.getLogger("stage")
_QUIET.disabled = True  # a client that leaves is a part of the play
_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.1
_MODEL: Final = "/v2/models/demo"
_PROBE: Final = 'probe = { path = "/v2/health/ready" }'
_MODELS: Final[dict[str, tuple[Kind, float]]] = {
    "fraud-v6": ("none", 0.0),
    "fraud-v7": ("none", 0.0),
    "fraud-v8": ("none", 0.0),
    "fraud-v9": ("errors", 0.3),
    "fraud-v10": ("hang", 1.0),
}
"""The versions of SERVICE: how each fails once its fault has begun, and the share of its requests that do."""


@dataclass(frozen=True, slots=True)
class Model:
    """The model servers of a version, in this process."""

    urls: tuple[str, ...]
    fault: Fault


class Stage:
    """One router with its model servers and its traffic. All processes end with it."""

    def __init__(self, folder: Path, requests_per_s: float = REQUESTS_PER_S) -> None:
        self.folder = folder
        self.data_port, self.admin_port = _free_ports()
        self.router: asyncio.subprocess.Process | None = None
        self._requests_per_s = requests_per_s
        self._tasks = Tasks()
        self._ending = AsyncExitStack()
        self._models: dict[str, Model] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:  # raised again; only the started processes must not stay
            await self._ending.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._ending.aclose()

    @property
    def url(self) -> str:
        """The URL of the admin port."""
        return f"http://127.0.0.1:{self.admin_port}"

    async def _start(self) -> None:
        self._session = await self._ending.enter_async_context(
            aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=30))
        )
        for version, (fault, share) in _MODELS.items():
            await self._serve(version, Fault(fault, share=share))
        self._configure()
        self.router = await start_router(self.folder / "router.toml", self.folder / "router.log")
        self._ending.push_async_callback(end, self.router)
        await self.until(self._ready, "the router is ready")
        self._ending.push_async_callback(self._tasks.close)
        data = f"http://127.0.0.1:{self.data_port}"
        self._tasks.spawn(Load(data, self._requests_per_s, GIVE_UP_S).run(), "traffic")
        self._tasks.spawn(self._trickle(data), "traffic of the other services")

    async def _serve(self, version: str, fault: Fault) -> None:
        """Serve a version in this process; its fault begins with `begin_fault`."""
        weights = "v1" if version == "fraud-v6" else "v2"
        app = ModelServer(weights, version, fault).app()
        app.middlewares.append(_evaluate)
        runner = web.AppRunner(app, access_log=None, logger=_QUIET, shutdown_timeout=0.1)
        await runner.setup()
        self._ending.push_async_callback(runner.cleanup)
        for _ in range(REPLICAS):
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls = tuple(f"http://127.0.0.1:{address[1]}" for address in runner.addresses)
        self._models[version] = Model(urls, fault)

    def _configure(self, more: str = "") -> None:
        """Write the settings file; `more` stands before the services."""
        old, new = [self._models[name].urls[0] for name in ("fraud-v6", "fraud-v7")]
        services = [_other(name, new, None if name == ALONE else old) for name in (*OTHERS, ALONE)]
        first = ", ".join(f'"{url}"' for url in self._models["fraud-v6"].urls)
        text = f"""listen = "127.0.0.1:{self.data_port}"
admin_listen = "127.0.0.1:{self.admin_port}"
workers = 2
state_dir = "{self.folder / "state"}"
{more}
[services.{SERVICE}]
active = {{ version = "fraud-v6", endpoints = [{first}] }}
{_PROBE}
[services.{SERVICE}.acceptance]
after_s = 20
requests_min = 200
[services.{SERVICE}.drill]
hold_s = 120
[services.{SERVICE}.rules]
warmup_s = 2.0
[services.{SERVICE}.rules.latency]
slo_ms = 500
{"".join(services)}"""
        (self.folder / "router.toml").write_text(text, "utf-8")

    def ask_for_token(self) -> None:
        """Let the router read settings with a token, so that a page has to sign in. Then this object may call no more."""
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        self._configure(f'[[admin.tokens]]\nname = "on-call"\nrole = "operator"\nsha256 = "{digest}"\n')
        self.send(signal.SIGHUP, self.pid)

    # -- the admin API
    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer of the admin API; raise RuntimeError with the problem document for a refusal."""
        async with self._session.request(method, path, json=body) as response:
            document = await response.json(content_type=None)
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {response.status} {document}")
            return dict(document)

    async def verb(self, verb: str, service: str = SERVICE, **body: Any) -> dict[str, Any]:
        """Make a change as the operator on-call, unless `actor` is another one."""
        return await self.call("POST", f"/v1/services/{quote(service)}/{verb}", {"actor": "on-call", **body})

    async def status(self, service: str = SERVICE) -> dict[str, Any]:
        """Return the document of a service."""
        return await self.call("GET", f"/v1/services/{quote(service)}")

    async def deploy(self, version: str, service: str = SERVICE, model: str | None = None) -> None:
        """Bring a version in, and return when it is ready."""
        urls = list(self._models[model or version].urls)
        members = {"artifact": f"s3://models/{version.replace('-', '/')}"}
        if service != SERVICE:
            members["path_prefix"] = _MODEL
        await self.verb("deploy", service, version=version, endpoints=urls, **members)

        async def ready() -> bool:
            targets = (await self.status(service))["targets"]
            return any(target["version"] == version and target["state"] == "ready" for target in targets)

        await self.until(ready, f"{version} is ready")

    async def promote(self, version: str, reason: str, service: str = SERVICE) -> None:
        """Make a version active; after a rollback its cases are made and checked first."""
        await self._insist("cases_pending", "promote", service, version=version, reason=reason)

    async def drill(self, reason: str) -> None:
        """Begin a drill, as soon as the probes of the standby are good."""
        await self._insist("drill_unsafe", "drill", SERVICE, reason=reason)

    async def _insist(self, code: str, verb: str, service: str, **body: Any) -> None:
        """Make a change as soon as it is no longer refused with this code."""

        async def made() -> bool:
            try:
                await self.verb(verb, service, **body)
            except RuntimeError as refused:
                if code not in str(refused):
                    raise
                return False
            return True

        await self.until(made, f"{verb} is not refused with {code}")

    def begin_fault(self, version: str) -> None:
        """Let the model servers of a version fail from now on."""
        self._models[version].fault.begin()

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str, within_s: float = _WITHIN_S) -> None:
        """Return when the condition is true; raise TimeoutError that names it after `within_s`."""
        until_s = clock.now_s() + within_s
        while not await condition():
            if clock.now_s() > until_s:
                raise TimeoutError(f"not within {within_s:g} s: {what}")
            await asyncio.sleep(_POLL_S)

    # -- processes
    async def control(self) -> int:
        """Return the process id of control."""
        return int((await self.call("GET", "/v1/status"))["control"]["pid"])

    def send(self, signal_number: signal.Signals, pid: int) -> None:
        """Send a signal to a process of this router."""
        os.kill(pid, signal_number)

    @property
    def pid(self) -> int:
        """The process id of the supervisor."""
        assert self.router is not None
        return self.router.pid

    async def _ready(self) -> bool:
        try:
            async with self._session.get("/readyz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _trickle(self, url: str) -> None:
        """Send some requests a second to each of the other services."""
        await asyncio.gather(*(self._drip(url, name, 0.4 + 0.1 * n) for n, name in enumerate((*OTHERS, ALONE))))

    async def _drip(self, url: str, service: str, every_s: float) -> None:
        row = {"name": "payment", "datatype": "FP64", "shape": [1, 4], "data": [0.2, -0.4, 0.1, 0.7]}
        async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=GIVE_UP_S)) as session:
            while True:
                await asyncio.sleep(random.uniform(0.5, 1.5) * every_s)
                try:
                    async with session.post(f"/{service}/infer", json={"inputs": [row]}) as response:
                        await response.read()
                except (aiohttp.ClientError, TimeoutError):
                    pass


@web.middleware
async def _evaluate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take the time that a larger model would: half of the inferences take less than 25 ms, one in a hundred 75 ms and more."""
    if request.method == "POST":
        await asyncio.sleep(random.lognormvariate(-3.7, 0.47))
    return await handler(request)


def _other(name: str, active: str, standby: str | None) -> str:
    lines = [
        f"[services.{name}]",
        f'path_prefix = "/{name}"',
        f'active = {{ version = "{name}-v2", endpoints = ["{active}"], path_prefix = "{_MODEL}" }}',
        _PROBE,
    ]
    if standby is not None:
        lines.insert(3, f'standby = {{ version = "{name}-v1", endpoints = ["{standby}"], path_prefix = "{_MODEL}" }}')
    if name == "churn":
        lines.append('promote_needs = "approval"')
    return "\n".join([*lines, f"[services.{name}.acceptance]", "after_s = 5", "requests_min = 20"]) + "\n"


def _free_ports() -> tuple[int, int]:
    """Return two ports of 127.0.0.1 that were free just now."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])
