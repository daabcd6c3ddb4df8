"""Services that come, go and come back while a worker runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.proxy.options import Options, ServiceOptions
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, SERVICE, Rig
from tests.proxy.waiting import until

MISSING = 404
ALL = replace(SERVICE, name="all", place=0)
PART = replace(SERVICE, name="part", path_prefix=b"/part", place=1)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


def request(path: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}" % path


def with_services(number: int, *services: ServiceOptions, **more: Any) -> Options:
    return replace(OPTIONS, services=services, number=number, **more)


def left(rig: Rig) -> int:
    return rig.worker_stats.left(0)


def publish(rig: Rig, service: int, version: str, url: str) -> None:
    rig.fill(0, version, url, service=service)
    rig.route(0, service=service)


async def test_a_service_that_is_added_answers_and_the_others_go_on() -> None:
    async with (
        Backend(backends.ok(b"all")) as one,
        Backend(backends.ok(b"part")) as other,
        Rig(with_services(1, replace(ALL, path_prefix=b"/all")), places=3) as rig,
    ):
        publish(rig, 0, "v1", one.url)
        client = await rig.client()
        assert (await rig.ask(request(b"/part/x")))[0] == MISSING
        assert (await client.ask(request(b"/all")))[2] == b"all"
        target = rig.data_plane.services[0].active
        publish(rig, 1, "w1", other.url)
        rig.data_plane.reconfigure(with_services(2, replace(ALL, path_prefix=b"/all"), PART))
        assert (await client.ask(request(b"/part/x")))[2] == b"part"
        assert (await client.ask(request(b"/all")))[2] == b"all"
        assert (rig.data_plane.services[0].active, one.connections) == (target, 1), "its connections stay"
        assert rig.worker_stats.acknowledged(0, 1) == rig.data_plane.services[1].generation > 0
        assert left(rig) == 2
        assert rig.exchanges(1) == {"ok": 1}


async def test_a_removed_service_gets_no_new_request_and_ends_its_last_one() -> None:
    async with (
        Backend(backends.ok(b"all")) as one,
        Backend(backends.stall_after(CHUNKED, len(CHUNKED))) as other,
        Rig(with_services(1, ALL, PART, shutdown_timeout_s=5.0)) as rig,
    ):
        publish(rig, 0, "v1", one.url)
        publish(rig, 1, "w1", other.url)
        streaming, client = await rig.client(), await rig.client()
        await streaming.send(request(b"/part"))
        assert b"200 OK" in await streaming.head()
        rig.data_plane.reconfigure(with_services(2, ALL, shutdown_timeout_s=5.0))
        assert (await client.ask(request(b"/part")))[2] == b"all", "the next best prefix answers"
        rig.data_plane.sweep()
        assert (left(rig), [s.options.name for s in rig.data_plane.services]) == (1, ["all"])
        assert await streaming.exactly(10) == b"5\r\nhello\r\n"
        streaming.close()
        await until(lambda: left(rig) == 2)
        assert [one.options.name for one in rig.data_plane.service_table.present] == ["all"]
        await until(lambda: not other.open)
        assert rig.exchanges(1) == {"client_gone": 1}


async def test_a_stream_of_a_removed_service_ends_as_a_drain_does() -> None:
    async with (
        Backend(backends.ok(b"all")) as one,
        Backend(backends.stall_after(CHUNKED, len(CHUNKED))) as other,
        Rig(with_services(1, ALL, PART, shutdown_timeout_s=0.2)) as rig,
    ):
        publish(rig, 0, "v1", one.url)
        publish(rig, 1, "w1", other.url)
        streaming = await rig.client()
        await streaming.send(request(b"/part"))
        assert b"200 OK" in await streaming.head()
        rig.data_plane.reconfigure(with_services(2, ALL, shutdown_timeout_s=0.2))
        assert await streaming.rest() == b"5\r\nhello\r\n", "cut: there is no last chunk"
        await until(lambda: left(rig) == 2)
        assert rig.exchanges(1) == {"cut": 1}


async def test_a_request_that_has_claimed_nothing_yet_keeps_its_service() -> None:
    """Its body is still coming in, because it is validated as a whole."""
    schema = '{"type": "object"}'
    checked = replace(PART, validation=replace(PART.validation, request_schema=schema))
    async with (
        Backend(backends.ok(b"all")) as one,
        Backend(backends.ok(b"part")) as other,
        Rig(with_services(1, ALL, checked)) as rig,
    ):
        publish(rig, 0, "v1", one.url)
        publish(rig, 1, "w1", other.url)
        client = await rig.client()
        await client.send(
            b"POST /part HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{"
        )
        await until(lambda: any(known.exchange is not None for known in rig.data_plane.limiter.connections))
        rig.data_plane.reconfigure(with_services(2, ALL))
        rig.data_plane.sweep()
        assert left(rig) == 1
        await client.send(b"}")
        assert (await client.response())[2] == b"part"
        await until(lambda: left(rig) == 2)


async def test_a_service_that_comes_back_in_time_keeps_what_it_has() -> None:
    async with (
        Backend(backends.stall_after(CHUNKED, len(CHUNKED))) as backend,
        Rig(with_services(1, ALL, PART)) as rig,
    ):
        publish(rig, 1, "w1", backend.url)
        streaming, client = await rig.client(), await rig.client()
        await streaming.send(request(b"/part"))
        await streaming.head()
        service = rig.data_plane.services[1]
        rig.data_plane.reconfigure(with_services(2, ALL))
        rig.data_plane.reconfigure(with_services(3, ALL, PART))
        assert rig.data_plane.services[1] is service
        assert left(rig) == 3
        backend.behaviour = backends.ok(b"part")
        for _ in range(2):
            assert (await client.ask(request(b"/part")))[2] == b"part"
        assert backend.connections == 2, "idle connections are kept again"
        streaming.close()
        await rig.quiet()


async def test_another_name_at_the_same_prefix_loses_no_request() -> None:
    async with Backend(backends.ok(b"old")) as old, Backend(backends.ok(b"new")) as new:
        async with Rig(with_services(1, PART), places=3) as rig:
            publish(rig, 1, "v1", old.url)
            client = await rig.client()
            publish(rig, 2, "w1", new.url)
            answers = [(await client.ask(request(b"/part")))[2]]
            rig.data_plane.reconfigure(with_services(2, replace(PART, name="other", place=2)))
            answers.append((await client.ask(request(b"/part")))[2])
            assert answers == [b"old", b"new"]


async def test_the_same_name_at_another_place_is_another_service() -> None:
    async with Backend(backends.ok(b"old")) as old, Rig(with_services(1, PART), places=3) as rig:
        publish(rig, 1, "v1", old.url)
        assert (await rig.ask(request(b"/part")))[0] == 200
        before = rig.data_plane.services[0]
        rig.data_plane.reconfigure(with_services(2, replace(PART, place=2)))
        assert (rig.data_plane.services[0] is before, rig.data_plane.services[0].index) == (False, 2)
        assert (await rig.ask(request(b"/part")))[0] == 503, "it has no route yet"
        await until(lambda: left(rig) == 2)


@pytest.mark.parametrize(("added", "status"), [(True, 200), (False, 503)])
async def test_a_service_that_was_added_needs_no_route_for_readiness(added: bool, status: int) -> None:
    options = with_services(1, ALL, replace(PART, added=added))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.context.words[at.H_CONTROL_READY] = 1
        publish(rig, 0, "v1", backend.url)
        code, _, body = await rig.ask(b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (code, b'"part":false' in body) == (status, True)


async def test_limits_count_the_requests_of_a_service_that_is_leaving() -> None:
    options = with_services(1, ALL, PART, requests_max=1)
    async with (
        Backend(backends.ok(b"all")) as one,
        Backend(backends.stall_after(CHUNKED, len(CHUNKED))) as other,
        Rig(options) as rig,
    ):
        publish(rig, 0, "v1", one.url)
        publish(rig, 1, "w1", other.url)
        streaming = await rig.client()
        await streaming.send(request(b"/part"))
        await streaming.head()
        rig.data_plane.reconfigure(with_services(2, ALL, requests_max=1))
        assert (await rig.ask(request(b"/x")))[0] == 503
        streaming.close()
        await until(lambda: left(rig) == 2)
        assert (await rig.ask(request(b"/x")))[0] == 200
