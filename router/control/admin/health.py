"""Routes for monitoring: /livez, /readyz, /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NotRequired

from aiohttp import web
from typing_extensions import TypedDict

from router.control.addon import Document
from router.control.admin.bodies import ReadyQuery
from router.control.admin.operation import Call, Operation, document_answer
from router.control.views import metrics
from router.control.views.scrape import process_metrics
from router.control.views.scrape.exposition import negotiated
from router.errors import Refusal
from router.runtime.printable_json import json_bytes
from router.runtime.text.plurals import counted


class LivenessDocument(TypedDict):
    """Control runs."""

    status: Literal["ok"]


class ReadinessCheck(TypedDict):
    """One condition of readiness."""

    name: str
    ok: bool
    detail: str


class ReadinessDocument(TypedDict):
    """Whether requests are served; with the role viewer the checks and what is degraded."""

    ready: bool
    checks: NotRequired[list[ReadinessCheck]]
    degraded: NotRequired[list[str]]


class OpenApiDocument(TypedDict):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, str]
    paths: dict[str, Any]
    components: dict[str, Any]


async def livez(call: Call) -> LivenessDocument:
    """Control's event loop runs. Nothing else is checked: a restart of the router heals no backend."""
    return {"status": "ok"}


async def readyz(call: Call) -> web.Response:
    """200 if requests are served, else 503. Only callers with the role viewer get the list of checks."""
    checks, degraded = readiness(call.queries.status(), call.queries.added())
    ready = all(check["ok"] for check in checks)
    document: ReadinessDocument = {"ready": ready}
    try:
        call.access_policy.authorize(call.request, "viewer")
    except Refusal as refusal:
        # The status alone answers a probe without a token. A wrong token is counted.
        call.access_policy.throttle(call.request, refusal)
    else:
        document |= {"checks": checks, "degraded": degraded}
    return document_answer(document, 200 if ready else 503)


def readiness(status: Document, added: Collection[str] = ()) -> tuple[list[ReadinessCheck], list[str]]:
    """Return (the checks that decide readiness, the degradations that do not).

    A service that the running router got (`added`) does not decide: a balancer would take the others out of service, too.
    """
    workers = [worker for worker in status["workers"] if worker["up"] and not worker["draining"]]
    checks = [_check("workers", bool(workers), f"{len(workers)} of {counted(len(status['workers']), 'worker')} accept")]
    degraded = []
    for name, service in status["services"].items():
        active = service["active"]
        if active is None and name in added:
            degraded.append(f"service {name}: no_active")
        else:
            detail = f"active: {active}" if active else "no_active"
            checks.append(_check(f"service {name}", active is not None, detail))
        if not service["way_back"]:
            degraded.append(f"service {name}: no_way_back ({service['no_way_back']})")
    degraded += [f"{alarm['code']}: {alarm['detail']}" for alarm in status["alarms"]]
    return checks, degraded


def _check(name: str, ok: bool, detail: str) -> ReadinessCheck:
    return {"name": name, "ok": ok, "detail": detail}


def metrics_route(closed: Mapping[str, int], refused: Mapping[str, int]) -> Operation:
    """Return the route of the metrics. `closed` counts connections that the port has closed, `refused` refused requests."""

    async def prometheus(call: Call) -> web.Response:
        chosen = negotiated(",".join(call.request.headers.getall("Accept", [])))
        pids = process_metrics.process_ids(call.queries.control_loop.worker_stats)
        processes = await asyncio.to_thread(process_metrics.families, pids)
        body = metrics.render(call.queries, closed, refused, as_format=chosen, processes=processes)
        return web.Response(body=body, headers={"Content-Type": chosen.content_type, "Vary": "Accept"})

    return Operation(
        "GET",
        "/metrics",
        prometheus,
        "All metrics: Prometheus text, or OpenMetrics if Accept prefers it",
        media_type="text/plain",
        name="getMetrics",
    )


def description_route(describe: Callable[[], Document]) -> Operation:
    """Return the route that answers with the description of all routes. `describe` makes it at the first call, in a thread."""
    made: list[bytes] = []

    async def openapi(call: Call) -> web.Response:
        if not made:
            made.append(json_bytes(await asyncio.to_thread(describe)))
        return web.Response(body=made[0], content_type="application/json")

    return Operation(
        "GET", "/v1/openapi.json", openapi, "This description (OpenAPI 3.1)", name="describeApi", answer=OpenApiDocument
    )


def operations(closed: Mapping[str, int], refused: Mapping[str, int]) -> tuple[Operation, ...]:
    """Return these routes. `closed` counts connections that the port has closed, `refused` refused requests."""
    return (
        Operation(
            "GET", "/livez", livez, "Whether control runs", role=None, name="checkLiveness", answer=LivenessDocument
        ),
        Operation(
            "GET",
            "/readyz",
            readyz,
            "Whether requests are served",
            role=None,
            query=ReadyQuery,
            name="checkReadiness",
            answer=ReadinessDocument,
        ),
        metrics_route(closed, refused),
    )
