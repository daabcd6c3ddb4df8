"""Routes as a worker takes them over from the wall."""

from __future__ import annotations

from router.rollout.model.rewrite import Rewrite
from router.rollout.model.route import NO_SLOT, Flag
from router.runtime import clock
from router.shm import layout as at
from router.shm.slots import Slots
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, field, until

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_switch_moves_the_next_request_and_leaves_the_stream() -> None:
    async with Backend(backends.tokens(5, 0.05)) as old, Backend(backends.ok(b"new")) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        stream = await rig.client()
        await stream.send(GET)
        await stream.head()
        rig.route(1, 0)
        _, head, body = await rig.ask(GET)
        assert (body, field(head, b"x-served-version")) == (b"new", b"v2")
        event = backends.chunk(b"data: token\n\n")
        assert await stream.exactly(5 * len(event) + 5) == event * 5 + backends.LAST_CHUNK
        assert len(old.requests) == 1


async def test_the_route_is_read_for_every_claim_even_without_a_wake() -> None:
    async with Backend(backends.ok(b"old")) as old, Backend(backends.ok(b"new")) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        client = await rig.client()
        assert (await client.ask(GET))[2] == b"old"
        generation = rig.route(1, 0, wake=False)
        assert (await client.ask(GET))[2] == b"new"
        assert rig.worker_stats.acknowledged(0, 0) == generation


async def test_an_acknowledgement_wakes_control() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert rig.acknowledgements() == 1
        before_ns = clock.now_ns()
        generation = rig.route(0)
        assert rig.worker_stats.acknowledged(0, 0) == generation
        assert before_ns <= rig.worker_stats.acknowledged_ns(0, 0) <= clock.now_ns()
        assert rig.acknowledgements() == 1


async def test_a_rescue_reads_the_route_as_well() -> None:
    async with (
        Backend(backends.never()) as hung,
        Backend(backends.ok(b"standby of before")) as former,
        Backend(backends.ok(b"active by now")) as new,
        Rig(replay="always") as rig,
    ):
        rig.fill(2, "v3", new.url)
        rig.serve(hung.url, former.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: hung.requests)
        assert rig.data_plane.services[0].active is not None
        (exchange,) = rig.data_plane.services[0].active.in_flight
        rig.route(2, 0, wake=False)
        exchange.first_byte_late()
        del exchange
        assert (await client.response())[2] == b"active by now"


async def test_a_request_is_claimed_in_the_step_that_reads_its_last_byte() -> None:
    """Nothing else runs between the reading of the route and the counting, so an acknowledgement is never too early."""
    async with Backend(backends.ok(b"old")) as old, Backend(backends.ok(b"new")) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        client = await rig.client()
        await until(lambda: rig.data_plane.limiter.connections)
        (downstream,) = rig.data_plane.limiter.connections
        downstream.data_received(GET)
        assert rig.scalar(at.L_CLAIMED) == 1
        rig.route(1, 0)
        assert (await client.response())[2] == b"old"
        assert rig.attempts(0) == {"ok": 1}


async def test_a_route_whose_slot_is_damaged_is_not_taken_over() -> None:
    async with Backend(backends.ok(b"old")) as old, Backend(backends.ok(b"new")) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        rig.segment.words[rig.segment.layout.slot(0, 1) + at.S_CRC] ^= 1
        before = rig.worker_stats.acknowledged(0, 0)
        generation = rig.route(1, 0)
        assert (await rig.ask(GET))[2] == b"old"
        assert rig.worker_stats.acknowledged(0, 0) == before
        rig.segment.words[rig.segment.layout.slot(0, 1) + at.S_CRC] ^= 1
        assert (await rig.ask(GET))[2] == b"new"
        assert rig.worker_stats.acknowledged(0, 0) == generation


async def test_no_active_version_is_503_no_route() -> None:
    async with Rig() as rig:
        rig.route()
        status, head, _ = await rig.ask(GET)
        assert (status, field(head, b"x-router-error")) == (503, b"no_route")
        status, _, body = await rig.ask(b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n")
        assert status == 503
        assert b'"unavailable"' in body


async def test_requests_that_wait_on_a_rolled_back_version_flee_where_replay_is_allowed() -> None:
    async with (
        Backend(backends.never()) as hung,
        Backend(backends.ok(b"way back")) as good,
        Rig(replay="always", first_byte_timeout_s=60.0) as rig,
    ):
        rig.serve(hung.url, good.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: hung.requests)
        rig.route(1, NO_SLOT, flags=Flag.REDISPATCH)
        assert (await client.response())[2] == b"way back"
    assert rig.attempts(0) == {"timed_out": 1}


async def test_cut_ends_what_is_left_on_a_slot() -> None:
    async with Backend(backends.never()) as hung, Backend(backends.ok()) as good, Rig() as rig:
        rig.serve(hung.url, good.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: hung.requests)
        generation = rig.route(1, NO_SLOT, flags=Flag.REDISPATCH)
        Slots(rig.segment, 0).cut(0, generation)
        rig.data_plane.refresh()
        assert (await client.response())[0] == 503
    assert rig.attempts(0) == {"cut": 1}


async def test_two_versions_on_one_server_are_told_apart() -> None:
    async with Backend(backends.ok()) as server, Rig() as rig:
        rig.fill(0, "v1", server.url, rewrite=Rewrite("v1.example.com", "/v2/models/fraud-v1"))
        rig.fill(1, "v2", server.url, rewrite=Rewrite(None, None, "/f"), fields=(("X-Model", "fraud-v2"),))
        rig.route(0, 1)
        await rig.ask(POST)
        rig.route(1, 0)
        await rig.ask(POST)
    first, second = server.requests
    assert first.raw.startswith(b"POST /v2/models/fraud-v1/infer HTTP/1.1\r\n")
    assert field(first.raw, b"host") == b"v1.example.com"
    assert second.raw.startswith(b"POST /infer HTTP/1.1\r\nHost: t\r\n")
    assert field(second.raw, b"x-model") == b"fraud-v2"


async def test_fields_that_control_has_read_again_are_sent_after_a_sweep() -> None:
    async with Backend(backends.ok()) as server, Rig() as rig:
        rewrite = Rewrite(None, None, "/f")
        rig.fill(0, "v1", server.url, rewrite=rewrite, fields=(("Authorization", "old"),))
        rig.route(0)
        await rig.ask(POST)
        rig.fill(0, "v1", server.url, rewrite=rewrite, fields=(("Authorization", "new"),))
        await until(lambda: rig.data_plane.services[0].active.content.fields[0][1] == "new")  # type: ignore[union-attr]
        await rig.ask(POST)
    assert [field(request.raw, b"authorization") for request in server.requests] == [b"old", b"new"]


async def test_a_slot_that_is_filled_for_another_version_is_not_adopted_before_its_route() -> None:
    async with Backend(backends.ok()) as server, Rig() as rig:
        rig.serve(server.url)
        rig.fill(0, "v9", server.url, incarnation=2, rewrite=Rewrite("v9.example.com"))
        rig.data_plane.services[0].sweep(clock.now_s())
        await rig.ask(POST)
    assert field(server.requests[0].raw, b"host") == b"t"


async def test_the_gauges_of_waits_come_and_go_and_replace_those_of_the_worker_before() -> None:
    async with Backend(backends.never()) as hung, Rig() as rig:
        row = rig.segment.layout.worker_slot(0, 0, 0)
        rig.segment.words[row + at.L_WAITING], rig.segment.words[row + at.L_OLDEST_WAITING_NS] = 9, 9
        rig.serve(hung.url)
        rig.data_plane.sweep()
        assert (rig.scalar(at.L_WAITING), rig.scalar(at.L_OLDEST_WAITING_NS)) == (0, 0)
        client = await rig.client()
        await client.send(GET)
        await until(lambda: rig.scalar(at.L_WAITING) == 1)
        assert rig.scalar(at.L_OLDEST_WAITING_NS) > 9
        client.reset()
        await until(lambda: rig.scalar(at.L_WAITING) == 0)
        assert rig.scalar(at.L_OLDEST_WAITING_NS) == 0
