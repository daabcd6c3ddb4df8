"""Where a failed exchange continues: what failover decides, and what comes of it on the wire."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from router.proxy.engine.attempt import Attempt
from router.proxy.engine.downstream import Downstream
from router.proxy.engine.exchange import Exchange
from router.proxy.engine.failover import Failover, OtherVersion, next_try
from router.rollout.model.route import NO_SLOT, Flag
from router.rollout.outcome import Outcome
from router.runtime import clock
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig, field, until

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
URLS = ("http://127.0.0.1:9", "http://127.0.0.1:19")
CHUNKED_POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


async def closed_port() -> str:
    """Return a URL where nobody listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


async def test_a_refused_connection_is_rescued_on_the_standby_and_stays_a_fault_of_the_first() -> None:
    async with Backend(backends.ok(b"way back")) as standby, Rig() as rig:
        rig.serve(await closed_port(), standby.url)
        status, head, body = await rig.ask(POST)
        assert (status, body, field(head, b"x-served-version")) == (200, b"way back", b"v2")
    assert rig.attempts(0) == {"connect_failed": 1}
    assert rig.attempts(1) == {"ok": 1}
    assert rig.scalar(at.L_RESCUED, 0) == 1
    assert rig.exchanges() == {"ok": 1}


async def test_another_endpoint_recovers_without_a_fault_of_the_version() -> None:
    async with Backend(backends.ok()) as good, Rig() as rig:
        rig.fill(0, "v1", await closed_port(), good.url)
        rig.route(0)
        for _ in range(20):
            assert (await rig.ask(POST))[0] == 200
    assert rig.attempts() == {"ok": 20}
    assert rig.scalar(at.L_ENDPOINT_RETRIES) > 0


async def test_another_endpoint_takes_from_the_retry_budget_until_the_request_ends() -> None:
    async with Backend(backends.never()) as waits, Rig() as rig:
        rig.fill(0, "v1", await closed_port(), waits.url)
        rig.route(0)
        active = rig.data_plane.services[0].active
        assert active is not None
        clients = [await rig.client() for _ in range(2)]
        for number, client in enumerate(clients):  # the second one finds no request in flight at the closed port
            await client.send(POST)
            await until(lambda sent=number + 1: len(waits.requests) == sent)
        assert active.retrying == rig.scalar(at.L_ENDPOINT_RETRIES) > 0
        for client in clients:
            client.reset()
        await rig.quiet()
        assert active.retrying == 0


async def test_nobody_to_rescue_is_502() -> None:
    async with Rig() as rig:
        rig.serve(await closed_port(), await closed_port())
        status, head, _ = await rig.ask(POST)
        assert (status, field(head, b"x-router-error")) == (502, b"connect_failed")
    assert rig.attempts(0) == {"connect_failed": 1}
    assert rig.attempts(1) == {"connect_failed": 1}
    assert rig.exchanges() == {"connect_failed": 1}


@pytest.mark.parametrize(
    ("replay", "raw", "status"),
    [
        ("unsent", GET, 502),
        ("unsent", POST, 502),
        ("idempotent", GET, 200),
        ("idempotent", POST, 502),
        ("always", POST, 200),
        ("always", CHUNKED_POST, 200),
        ("never", POST, 502),
    ],
)
async def test_a_sent_request_is_tried_again_only_where_the_service_allows_it(
    replay: str, raw: bytes, status: int
) -> None:
    async with (
        Backend(backends.cut_after(b"", 0)) as broken,
        Backend(backends.ok(b"rescued")) as standby,
        Rig(replay=replay) as rig,
    ):
        rig.serve(broken.url, standby.url)
        assert (await rig.ask(raw))[0] == status
        assert len(standby.requests) == (1 if status == 200 else 0)
        if status == 200:
            assert b"hello" in standby.requests[0].body or raw == GET
    assert rig.attempts(0) == {"truncated": 1}


async def test_never_replay_means_not_even_what_was_not_sent() -> None:
    async with Backend(backends.ok()) as standby, Rig(replay="never") as rig:
        rig.serve(await closed_port(), standby.url)
        assert (await rig.ask(POST))[0] == 502


async def test_a_body_larger_than_the_replay_limit_is_not_tried_again() -> None:
    options = replace(OPTIONS, replay_bytes_max=1000, services=(replace(OPTIONS.services[0], replay="always"),))
    async with Backend(backends.cut_after(b"", 0)) as broken, Backend(backends.ok()) as standby, Rig(options) as rig:
        rig.serve(broken.url, standby.url)
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4000\r\n\r\n" + b"x" * 500)
        await until(lambda: broken.connections)
        assert (await client.ask(b"x" * 3500))[0] == 502


async def test_a_rollback_that_is_noticed_by_the_rescue_sends_the_request_once() -> None:
    async with (
        Backend(backends.never()) as failed,
        Backend(backends.ok(b"way back")) as good,
        Backend(backends.ok(b"the other")) as other,
        Rig(replay="always") as rig,
    ):
        rig.serve(failed.url, good.url)
        rig.fill(2, "v3", other.url)
        clients = [await rig.client() for _ in range(3)]
        for client in clients:
            await client.send(POST)
        await until(lambda: len(failed.requests) == 3)
        rig.route(1, 2, flags=Flag.REDISPATCH, wake=False)
        await failed.stop()
        assert [(await client.response())[2] for client in clients] == [b"way back"] * 3
        for client in clients:
            assert (await client.ask(POST))[2] == b"way back", "the connection is in step"
    assert rig.attempts(1) == {"ok": 6}
    assert rig.attempts(2) == {}
    assert (len(good.requests), len(other.requests)) == (6, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An exchange that has failed on the first endpoint of v1, which is active; v2 is the standby, unless it is changed here."""

    raw: bytes = POST
    replay: str = "always"
    sent: bool = True
    body_kept: bool = True
    endpoints: bool = True
    stale: bool = False
    urls: int = 1
    retrying: bool = False
    others_retrying: int = 0
    connect_waits_max: int = 1
    pool_closed: bool = False
    on_standby: bool = False
    standby: bool = True
    tried: bool = False
    full: bool = False
    route_changed: bool = False
    outcome: Outcome = Outcome.TRUNCATED
    rescue_on: tuple[str, ...] = ("connect", "timeout", "broken", "5xx")
    tries: int = 1
    rescues_fail: bool = False
    rescues_wait: int = 0

    def exchange(self, rig: Rig) -> Exchange:
        """Return it; v1 and v2 are served by `rig`."""
        service = rig.data_plane.services[0]
        head = rig.context.request_head(self.raw)
        exchange = Exchange(rig.context, service, Downstream(rig.context, rig.data_plane.limiter), head, b"id")
        rig.context.words[service.row + at.LS_ACCEPTED] += 1
        exchange.body = [b"hello"] if self.body_kept else None
        target, other = (service.standby, service.active) if self.on_standby else (service.active, service.standby)
        assert target is not None
        exchange.attempt = attempt = Attempt(exchange, target, at.ROLE_STANDBY if self.on_standby else at.ROLE_ACTIVE)
        attempt.enter(target.pools[0])
        attempt.any_sent = self.sent
        exchange.tries = self.tries
        for number in range(20 * self.rescues_fail):
            service.rescue_budget.begin(clock.now_s())
            service.rescue_budget.end(number, others=False, well=False)
        service.rescue_budget.in_flight += self.rescues_wait
        target.pools[0].closed = self.pool_closed
        if self.tried:
            assert other is not None
            exchange.tried_targets = (other,)
        if self.retrying:
            attempt.retry()
            attempt.any_sent = self.sent
        target.retrying += self.others_retrying
        return exchange


ACTIVE, STANDBY = ("v1", at.ROLE_ACTIVE), ("v2", at.ROLE_STANDBY)
GIVE_UP, RECONNECT = Failover.GIVE_UP, Failover.RECONNECT
NEXT_ENDPOINT, ADOPT_ROUTE = Failover.NEXT_ENDPOINT, Failover.ADOPT_ROUTE
OVER_BUDGET = Failover.OVER_BUDGET


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        # the replay rule
        pytest.param(Failed(), STANDBY, id="may be sent again"),
        pytest.param(Failed(body_kept=False), GIVE_UP, id="its body is gone"),
        pytest.param(Failed(sent=False, body_kept=False), STANDBY, id="not sent"),
        pytest.param(Failed(replay="idempotent"), GIVE_UP, id="not idempotent"),
        pytest.param(Failed(replay="idempotent", raw=GET), STANDBY, id="idempotent"),
        pytest.param(Failed(replay="idempotent", sent=False), STANDBY, id="not idempotent, not sent"),
        pytest.param(Failed(replay="unsent"), GIVE_UP, id="unsent, sent"),
        pytest.param(Failed(replay="unsent", sent=False), STANDBY, id="unsent, not sent"),
        pytest.param(Failed(replay="never", sent=False), GIVE_UP, id="never"),
        # another version
        pytest.param(Failed(standby=False), GIVE_UP, id="no standby"),
        pytest.param(Failed(tried=True), GIVE_UP, id="the standby was tried"),
        pytest.param(Failed(full=True), GIVE_UP, id="the standby is full"),
        pytest.param(Failed(on_standby=True), ACTIVE, id="the active version comes first"),
        pytest.param(Failed(on_standby=True, tried=True), GIVE_UP, id="the active version was tried"),
        pytest.param(Failed(others_retrying=9), STANDBY, id="another version costs no retry budget"),
        pytest.param(Failed(route_changed=True), ADOPT_ROUTE, id="by the newest route"),
        pytest.param(Failed(route_changed=True, standby=False), ADOPT_ROUTE, id="which may have a standby"),
        pytest.param(Failed(route_changed=True, body_kept=False), GIVE_UP, id="no route is adopted in vain"),
        # after which failures
        pytest.param(Failed(rescue_on=("5xx",)), GIVE_UP, id="broken, not set"),
        pytest.param(Failed(rescue_on=("broken",)), STANDBY, id="broken"),
        pytest.param(Failed(outcome=Outcome.CONNECT_FAILED, rescue_on=("connect",)), STANDBY, id="connect"),
        pytest.param(Failed(outcome=Outcome.ROUTER_FAULT, rescue_on=("connect",)), STANDBY, id="connect: no resources"),
        pytest.param(Failed(outcome=Outcome.TIMED_OUT, rescue_on=("timeout",)), STANDBY, id="timeout"),
        pytest.param(Failed(outcome=Outcome.SERVER_ERROR, rescue_on=("5xx",)), STANDBY, id="5xx"),
        pytest.param(Failed(outcome=Outcome.INVALID, rescue_on=("5xx",)), STANDBY, id="error event"),
        pytest.param(Failed(outcome=Outcome.THROTTLED), GIVE_UP, id="throttled: never"),
        pytest.param(Failed(rescue_on=(), on_standby=True), ACTIVE, id="a move to the active version is no rescue"),
        # how many
        pytest.param(Failed(rescues_fail=True), OVER_BUDGET, id="the last rescues failed"),
        pytest.param(Failed(rescues_wait=64), OVER_BUDGET, id="too many rescues wait"),
        pytest.param(Failed(rescues_fail=True, on_standby=True), ACTIVE, id="the active version needs no budget"),
        pytest.param(Failed(rescues_fail=True, standby=False), GIVE_UP, id="no standby, and no budget"),
        pytest.param(Failed(tries=3), STANDBY, id="the last attempt"),
        pytest.param(Failed(tries=4), GIVE_UP, id="no attempt is left"),
        pytest.param(Failed(tries=4, sent=False), GIVE_UP, id="no attempt is left, not sent"),
        pytest.param(Failed(tries=4, stale=True), GIVE_UP, id="stale: no attempt is left"),
        pytest.param(Failed(tries=2, urls=2), NEXT_ENDPOINT, id="an endpoint: not the last attempt"),
        pytest.param(Failed(tries=3, urls=2), STANDBY, id="an endpoint: the last attempt is left to the standby"),
        pytest.param(Failed(tries=3, urls=2, standby=False), NEXT_ENDPOINT, id="an endpoint: without a standby"),
        # another endpoint
        pytest.param(Failed(urls=2), NEXT_ENDPOINT, id="an endpoint is left"),
        pytest.param(Failed(urls=2, endpoints=False), STANDBY, id="the version itself failed"),
        pytest.param(Failed(urls=2, on_standby=True), ACTIVE, id="only of the active version"),
        pytest.param(Failed(urls=2, others_retrying=2), NEXT_ENDPOINT, id="within the budget"),
        pytest.param(Failed(urls=2, others_retrying=3), STANDBY, id="the budget is used up"),
        pytest.param(Failed(urls=2, retrying=True, others_retrying=2), NEXT_ENDPOINT, id="counted in the budget"),
        pytest.param(Failed(urls=2, route_changed=True), NEXT_ENDPOINT, id="whatever the route"),
        pytest.param(Failed(urls=2, replay="unsent"), GIVE_UP, id="an endpoint is no exception to the rule"),
        # the same endpoint
        pytest.param(Failed(stale=True), RECONNECT, id="stale"),
        pytest.param(Failed(stale=True, urls=2), RECONNECT, id="stale: before another endpoint"),
        pytest.param(Failed(stale=True, on_standby=True), RECONNECT, id="stale: on any version"),
        pytest.param(Failed(stale=True, route_changed=True), RECONNECT, id="stale: whatever the route"),
        pytest.param(Failed(stale=True, replay="unsent"), GIVE_UP, id="stale: sent"),
        pytest.param(Failed(stale=True, retrying=True), STANDBY, id="stale: once an attempt"),
        pytest.param(Failed(stale=True, retrying=True, urls=2), NEXT_ENDPOINT, id="stale: then another endpoint"),
        pytest.param(Failed(stale=True, others_retrying=3), STANDBY, id="stale: the budget is used up"),
        pytest.param(Failed(stale=True, connect_waits_max=0), STANDBY, id="stale: too many wait"),
        pytest.param(Failed(stale=True, pool_closed=True), STANDBY, id="stale: the endpoint is gone"),
    ],
)
async def test_the_next_try(failed: Failed, expected: Failover | tuple[str, int]) -> None:
    async with Rig(
        replace(OPTIONS, connect_waits_max=failed.connect_waits_max),
        replay=failed.replay,
        rescue_on=frozenset(failed.rescue_on),
    ) as rig:
        rig.fill(0, "v1", *URLS[: failed.urls])
        rig.fill(1, "v2", *URLS[: failed.urls])
        rig.route(0, 1 if failed.standby else NO_SLOT)
        exchange = failed.exchange(rig)
        if failed.full:
            rig.context.in_flight_max = 0
        before = bytes(rig.segment.words)
        word = exchange.service.word + failed.route_changed
        step = next_try(exchange, word, failed.outcome, endpoints=failed.endpoints, stale=failed.stale)
        assert ((step.target.version, step.role) if isinstance(step, OtherVersion) else step) == expected
        assert bytes(rig.segment.words) == before, "it decides, and counts nothing"
        assert exchange.attempt is not None
        assert exchange.attempt.retrying == failed.retrying
        exchange.attempt.target.retrying -= failed.others_retrying
        exchange.client_gone()
        del exchange, step  # the leak check counts them
