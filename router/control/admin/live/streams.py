"""The open live streams: each sends the feed of its service, and the facts of the journal as they happen.

A reader that takes no bytes for WRITE_TIMEOUT_S is cut off. One that is merely slow misses seconds: it gets a whole document
instead of the differences. Whether the caller may still read is checked every second.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from router.control.addon import Document
from router.control.admin.bodies import ServiceName
from router.control.admin.events import STREAMS_MAX, WRITE_TIMEOUT_S, Pauses, abort, may_read
from router.control.admin.live.feed import EVERY_S, Feed
from router.control.admin.operation import Call, Operation
from router.control.monitors.broadcast import Queue
from router.control.views.queries import Queries
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime.printable_json import json_bytes

REPLAYED_MAX: Final = 500
"""Facts that are sent again after a reconnection; older ones are in the journal."""
_SEQ: Final = re.compile(r"[0-9]{1,18}")


class LiveStreamQuery(BaseModel):
    """`service`: the status and the explanation of this one; left out: one row for each service."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    service: Annotated[ServiceName | None, Field()] = None


class LiveStreams:
    """All live streams of this router. `close` ends them, so that a shutdown does not wait for their readers."""

    def __init__(
        self,
        every_s: float = EVERY_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        room: Callable[[], int] = lambda: STREAMS_MAX,
    ) -> None:
        """`room`: for how many streams the admin port has connections."""
        self._every_s = every_s
        self._room = room
        self._write_timeout_s = write_timeout_s
        self._pauses = Pauses()
        self._feeds: dict[str | None, Feed] = {}
        self._open = 0

    def __len__(self) -> int:
        return self._open

    async def close(self, _: web.Application) -> None:
        """End every stream."""
        self._pauses.end()

    async def stream(self, call: Call) -> web.StreamResponse:
        """Send the live document and the facts until the reader closes, is too slow, may not read any more, or control stops."""
        service = call.query_as(LiveStreamQuery).service
        after = _last_event_id(call.request)
        streams_max = max(1, min(STREAMS_MAX, self._room()))
        if self._open >= streams_max:
            raise Refusal(RefusalCode.STREAMS_EXHAUSTED, f"{streams_max} live streams are open, which is the limit")
        feed = self._feed(call.queries, service)
        feed.update(_now_s())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        queue = call.queries.subscribe()
        feed.join()
        self._open += 1
        try:
            await response.prepare(call.request)
            await self._relay(call, feed, queue, response, service, after)
        except TimeoutError:
            abort(call.request)
        except ConnectionError:
            pass  # the reader has closed
        finally:
            self._open -= 1
            if feed.leave():
                self._feeds.pop(service, None)
            call.queries.unsubscribe(queue)
        return response

    def _feed(self, queries: Queries, service: str | None) -> Feed:
        """Return the feed of a service, or of the list; raise Refusal for an unknown service."""
        known = self._feeds.get(service)
        if known is None:
            make = queries.live_list if service is None else lambda: queries.live(service)
            known = Feed(make, self._every_s)
            known.update(_now_s())
            self._feeds[service] = known
        return known

    async def _relay(
        self, call: Call, feed: Feed, queue: Queue, response: web.StreamResponse, service: str | None, after: int | None
    ) -> None:
        await self._send(response, feed.frame(0))
        number = feed.number
        sent = await self._replay(call, response, service, after) if after is not None else 0
        while not self._pauses.ended:
            try:
                fact = await self._pauses.next(queue, max(0.0, feed.due_s - _now_s()))
            except TimeoutError:
                if self._pauses.ended or not _may_read(call, feed):
                    return
                if feed.number != number:
                    await self._send(response, feed.frame(number))
                    number = feed.number
                continue
            if fact is None:
                await self._send(response, b": dropped, read too slowly\n\n")
                return
            if _concerns(fact, service) and (fact["seq"] or sent + 1) > sent:
                await self._send(response, _fact(fact))

    async def _replay(self, call: Call, response: web.StreamResponse, service: str | None, after: int) -> int:
        """Send the facts that the journal has after number `after`, the newest REPLAYED_MAX; return the last number that was
        sent, 0 if none was. `after` may be higher than every number: the journal may have begun anew since.
        """
        try:
            page = await call.queries.journal(after=after, limit=REPLAYED_MAX, service=service, newest=True)
        except Refusal:
            await self._send(response, b": the journal cannot be read now\n\n")
            return 0
        facts = page["entries"]
        await self._send(response, b"".join(map(_fact, facts)))
        return int(facts[-1]["seq"]) if facts else 0

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._write_timeout_s):
            await response.write(data)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _may_read(call: Call, feed: Feed) -> bool:
    """Make the document of this second; return False if its service is gone, or if the caller may not read it any more."""
    if not may_read(call):
        return False
    try:
        feed.update(_now_s())
    except Refusal:
        return False
    return True


def _concerns(fact: Document, service: str | None) -> bool:
    return service is None or fact.get("service") in (service, None)


def _fact(fact: Document) -> bytes:
    """Return one fact as an event (HTML standard §9.2). Its id is its number in the journal, once the disk has it."""
    number = b"" if fact["seq"] is None else b"id: %d\n" % fact["seq"]
    return number + b"event: fact\ndata: %s\n\n" % json_bytes(fact)


def _last_event_id(request: web.Request) -> int | None:
    """Return the number of the last fact that the reader has; raise Refusal if the field holds no number."""
    given = request.headers.get("Last-Event-ID", "").strip()
    if not given:
        return None
    if not _SEQ.fullmatch(given):
        raise Refusal(RefusalCode.REQUEST_INVALID, "Last-Event-ID takes the number of a journal entry, such as 4711")
    return int(given)


def operations(streams: LiveStreams) -> Iterable[Operation]:
    """Return the route of these streams."""
    return (
        Operation(
            "GET",
            "/v1/live",
            streams.stream,
            "The state, once a second, and every fact (Server-Sent Events)",
            query=LiveStreamQuery,
            media_type="text/event-stream",
            name="streamLive",
        ),
    )
