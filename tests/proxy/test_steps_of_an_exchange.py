"""The request path as a list: which function of which module is called, in order, for one successful exchange, and for a rescue.

Read it as the map of router/proxy. A request runs down from the client's connection to the backend, and its response runs up
again, without an await. Each line is a call from another module (or from the event loop).
"""

from __future__ import annotations

import math
from typing import Final

from router.shm.work_table import WorkEntry, WorkTable
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig
from tests.steps import pure_build_only, recorded_steps

POST: Final = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"

FIRST_REQUEST: Final = [
    # The client connects. Neither a PROXY header nor TLS is configured, so the listener builds the connection at once.
    "proxy.engine.downstream Downstream",
    "proxy.engine.downstream Downstream.connection_made",
    "proxy.accept.connection_limiter ClientConnectionLimiter.admit",
    # The request arrives. Its head is new: it is parsed, and the service is matched.
    "proxy.engine.downstream Downstream.data_received",
    "proxy.http1.head_cache HeadCache.translate",
    "proxy.data_plane DataPlane._parse_request",
    "proxy.http1.request_head parse_request",
    "proxy.context WorkerContext.new_request_id",
    # The exchange begins. The active target is claimed: from here on the attempt is counted there.
    "proxy.engine.exchange Exchange",
    "proxy.engine.exchange Exchange.start",
    "proxy.routing.concurrency ConcurrencyLimiter.exceeded_limit",
    "proxy.engine.attempt Attempt",
    # An endpoint's pool is chosen. It has no idle connection, so it connects.
    "proxy.engine.attempt Attempt.enter",
    "proxy.engine.pool Pool.take",
    "proxy.engine.pool Pool.wait",
    "proxy.engine.upstream Upstream",
    "proxy.engine.upstream Upstream.connection_made",
    "proxy.engine.exchange Exchange.connected",
    # The request is written: head and body in one write. The wait for the first byte begins.
    "proxy.engine.upstream Upstream.send",
    "proxy.engine.attempt Attempt.sent",
    # The response arrives. Its head is translated, and head and body go to the client in one write.
    "proxy.engine.upstream Upstream.data_received",
    "proxy.http1.head_cache HeadCache.translate",
    "proxy.data_plane DataPlane._parse_response",
    "proxy.http1.response_head parse_response",
    "proxy.engine.exchange Exchange.respond",
    "proxy.engine.attempt Attempt.answered",
    "proxy.engine.downstream Downstream.write",
    # The response is whole. The backend connection is idle again, the attempt is counted as ended.
    "proxy.engine.pool Pool.release",
    "proxy.engine.exchange Exchange.completed",
    "proxy.engine.attempt Attempt.end",
    # The client's connection stays open for the next request.
    "proxy.engine.downstream Downstream.exchange_ended",
]

LATER_REQUEST: Final = [
    "proxy.engine.downstream Downstream.data_received",
    "proxy.http1.head_cache HeadCache.translate",
    "proxy.context WorkerContext.new_request_id",
    "proxy.engine.exchange Exchange",
    "proxy.engine.exchange Exchange.start",
    "proxy.engine.attempt Attempt",
    "proxy.engine.attempt Attempt.enter",
    "proxy.routing.standing Standing.enter",
    "proxy.engine.pool Pool.take",
    "proxy.engine.upstream Upstream.send",
    "proxy.engine.attempt Attempt.sent",
    "proxy.engine.upstream Upstream.data_received",
    "proxy.http1.head_cache HeadCache.translate",
    "proxy.engine.exchange Exchange.respond",
    "proxy.engine.attempt Attempt.answered",
    "proxy.engine.downstream Downstream.write",
    "proxy.engine.pool Pool.release",
    "proxy.engine.exchange Exchange.completed",
    "proxy.engine.attempt Attempt.end",
    "proxy.routing.standing Standing.well",
    "proxy.affected.affected Affected.useful",
    "proxy.engine.downstream Downstream.exchange_ended",
]
"""Every call that crosses a module border, for a request like the one before it on the same connection."""

RESCUE: Final = [
    # The backend closes without a response. The exchange fails, failover decides, and acts.
    "proxy.engine.upstream Upstream.connection_lost",
    "proxy.engine.exchange Exchange.lost",
    "proxy.engine.failover try_elsewhere",
    "proxy.engine.attempt Attempt.may_change_endpoint",
    # The attempt is counted as a fault of its version, and the standby is claimed.
    "proxy.engine.exchange Exchange.end_attempt",
    "proxy.engine.attempt Attempt.end",
    "proxy.engine.local_target LocalTarget.pool_failed",
    "proxy.engine.exchange Exchange.claim",
    "proxy.engine.attempt Attempt",
    "proxy.engine.attempt Attempt.enter",
    "proxy.engine.pool Pool.take",
]


@pure_build_only
async def test_steps_of_a_rescue() -> None:
    async with (
        Backend(backends.cut_after(b"", 0)) as broken,
        Backend(backends.ok(b"yes")) as standby,
        Rig(replay="always") as rig,
    ):
        rig.serve(broken.url, standby.url)
        with recorded_steps("proxy.engine.") as steps:
            assert (await rig.ask(POST))[::2] == (200, b"yes")
        failed = steps.index(RESCUE[0])  # the connection to the standby adds its steps behind these
        assert steps[failed:][: len(RESCUE)] == RESCUE


@pure_build_only
async def test_steps_of_an_exchange() -> None:
    async with Backend(backends.ok(b"yes")) as backend, Rig() as rig:
        rig.serve(backend.url)
        with recorded_steps("proxy.") as steps:
            client = await rig.client()
            assert (await client.ask(POST))[::2] == (200, b"yes")
        first = list(steps)
        WorkTable(rig.segment, 0).write({0: WorkEntry("POST /infer", True)})
        rig.data_plane.services[0].work_paths.refresh()
        rig.data_plane.services[0].known_good.due_s[0] = math.inf  # it keeps one request a second
        with recorded_steps("proxy.") as later:
            assert (await client.ask(POST))[::2] == (200, b"yes")
        client.close()
        assert [step for step in first if step in FIRST_REQUEST] == FIRST_REQUEST
        assert later == LATER_REQUEST
