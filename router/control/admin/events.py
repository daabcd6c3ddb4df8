"""The event stream (Server-Sent Events). A reader that is too slow is dropped and can read /v1/journal instead."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from router.control.addon import Document
from router.control.admin.operation import Call, Operation
from router.control.monitors.broadcast import Queue
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.printable_json import json_bytes

STREAMS_MAX: Final = 64
HEARTBEAT_S: Final = 15.0
WRITE_TIMEOUT_S: Final = 5.0
"""A reader that accepts no bytes for this long is dropped."""


class Pauses:
    """The waits of streams for events. `end` ends them all, and every later one: control stops."""

    def __init__(self) -> None:
        self.ended = False
        self._pauses: set[asyncio.Timeout] = set()

    def end(self) -> None:
        """Wake every stream that waits."""
        self.ended = True
        for pause in self._pauses:
            if not pause.expired():
                pause.reschedule(asyncio.get_running_loop().time())

    async def next(self, queue: Queue, seconds: float) -> Document | None:
        """Return the next event, None if events were dropped; raise TimeoutError after `seconds`, and at the end."""
        pause = asyncio.timeout(0.0 if self.ended else seconds)
        self._pauses.add(pause)
        try:
            async with pause:
                return await queue.get()
        finally:
            self._pauses.discard(pause)


class EventStreams:
    """The open event streams. `close` ends them, so that a shutdown does not wait for their readers."""

    def __init__(self, heartbeat_s: float = HEARTBEAT_S, write_timeout_s: float = WRITE_TIMEOUT_S) -> None:
        self._heartbeat_s = heartbeat_s
        self._write_timeout_s = write_timeout_s
        self._open: set[Queue] = set()
        self._pauses = Pauses()

    def __len__(self) -> int:
        return len(self._open)

    async def close(self, _: web.Application) -> None:
        """End every stream, waking those that wait for an event."""
        self._pauses.end()

    async def stream(self, call: Call) -> web.StreamResponse:
        """Send events until the reader closes, is too slow, may not read any more, or control stops."""
        if len(self._open) >= STREAMS_MAX:
            raise Refusal(RefusalCode.STREAMS_EXHAUSTED, f"{STREAMS_MAX} event streams are open, which is the limit")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        queue = call.queries.subscribe()
        self._open.add(queue)
        try:
            await response.prepare(call.request)
            await self._send(response, b": connected\n\n")
            await self._relay(call, queue, response)
        except TimeoutError:
            abort(call.request)
        except ConnectionError:
            pass  # the reader has closed
        finally:
            self._open.discard(queue)
            call.queries.unsubscribe(queue)
        return response

    async def _relay(self, call: Call, queue: Queue, response: web.StreamResponse) -> None:
        while not self._pauses.ended:
            try:
                event = await self._pauses.next(queue, self._heartbeat_s)
            except TimeoutError:
                if not may_read(call):
                    return
                await self._send(response, b": heartbeat\n\n")
                continue
            if event is None:
                await self._send(response, b": dropped, read too slowly\n\n")
                return
            if not may_read(call):
                return
            await self._send(response, _frame(event))

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._write_timeout_s):
            await response.write(data)


def may_read(call: Call) -> bool:
    """Return whether the caller of a stream may still read: its token or session may have ended since the stream began."""
    try:
        call.access_policy.authorize(call.request, "viewer")
    except Refusal:
        return False
    return True


def _frame(event: Document) -> bytes:
    """Return one event in the format of the HTML standard §9.2; the JSON has no line break.

    The id is the number of the entry in the journal. An event that is not journalled yet has no id.
    """
    number = b"" if event["seq"] is None else b"id: %d\n" % event["seq"]
    return number + b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json_bytes(event))


def abort(request: web.Request) -> None:
    """Cut the connection of a reader that takes no bytes."""
    if request.transport is not None:
        request.transport.abort()


def operations(streams: EventStreams) -> tuple[Operation, ...]:
    """Return the route of these streams."""
    return (
        Operation(
            "GET",
            "/v1/events",
            streams.stream,
            "Events as they happen (Server-Sent Events)",
            media_type="text/event-stream",
            name="streamEvents",
        ),
    )
