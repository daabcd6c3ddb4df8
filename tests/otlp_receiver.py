"""A receiver of spans by OTLP over HTTP on loopback: it reads what it gets as the protocol's own messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.loopback_app import served


class SpanReceiver:
    """`status` is answered; None hangs. `spans` are all that came, `resources` the attributes of their resources."""

    def __init__(self, status: int | None = 200) -> None:
        self.status = status
        self.url = ""
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.free = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        message = ExportTraceServiceRequest.FromString(await request.read())
        if self.status is None:
            await self.free.wait()
        if self.status != 200:
            return web.Response(status=self.status or 503)
        for group in message.resource_spans:
            self.resources.append(attributes(group.resource))
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")


def attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of a span or a resource."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in holder.attributes}


@asynccontextmanager
async def receiving_spans(status: int | None = 200) -> AsyncIterator[SpanReceiver]:
    receiver = SpanReceiver(status)
    application = web.Application()
    application.router.add_post("/v1/traces", receiver.answer)
    async with served(application, receiver.free) as origin:
        receiver.url = f"{origin}/v1/traces"
        yield receiver
