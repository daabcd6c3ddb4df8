"""Connections to one endpoint: kept, shared, found stale."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig
from tests.proxy.waiting import turns, until

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


async def test_a_backend_on_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "model.sock")
    async with Backend(backends.ok()) as backend, Rig() as rig:
        server = await asyncio.start_unix_server(backend._serve, path)
        rig.serve(f"unix:{path}")
        client = await rig.client()
        for _ in range(3):
            assert (await client.ask(POST))[0] == 200
        assert backend.connections == 1
        assert await rig.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert backend.requests[-1].field("host") == b"localhost"
        server.close()


async def test_a_socket_that_is_not_there_is_a_failed_connection(tmp_path: Path) -> None:
    async with Rig() as rig:
        rig.serve(f"unix:{tmp_path}/model.sock")
        assert (await rig.ask(POST))[0] == 502
    assert rig.attempts() == {"connect_failed": 1}


async def test_a_full_queue_of_a_unix_socket_is_waited_for(tmp_path: Path) -> None:
    """The kernel says EAGAIN at once (connect(2)); a TCP client would not notice."""
    path = str(tmp_path / "model.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(0)
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(f"unix:{path}")
        active = rig.data_plane.services[0].active
        assert active is not None
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(path)
            client = await rig.client()
            await client.send(POST)
            await until(lambda: active.pools[0].waiting)
            await turns(3)  # the first try finds the queue full
        server = await asyncio.start_unix_server(backend._serve, sock=listening)
        assert (await client.response())[0] == 200
        server.close()
