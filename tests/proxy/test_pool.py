"""Connections to one endpoint: kept, shared, found stale."""

from __future__ import annotations

from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig

POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


async def test_connections_are_kept_on_both_sides() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(10):
            assert (await client.ask(POST))[0] == 200
        assert backend.connections == 1


async def test_a_stale_connection_is_counted_and_a_sent_post_is_not_repeated() -> None:
    async def close_after_one(connection: backends.Connection) -> None:
        await connection.read_request()
        await connection.send(backends.response(200, b"ok"))
        await connection.read_head()  # the next request arrives …
        connection.reset()  # … as the backend closes

    async with Backend(close_after_one) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(POST))[0] == 200
        assert (await client.ask(POST))[0] == 502
    assert rig.scalar(at.L_STALE_CONNECTION) == 1
    assert len(backend.requests) == 1
