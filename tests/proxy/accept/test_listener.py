"""The listening socket of one worker."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from router.proxy.accept.listener import Listener, refuse_new_connections
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Client, Rig
from tests.proxy.waiting import turns, until
from tests.texts import golden

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


async def test_after_stop_nobody_new_is_accepted_and_who_is_there_goes_on() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        rig.listener.stop()
        await turns()
        with pytest.raises(ConnectionRefusedError):
            await rig.client()
        assert (await client.ask(GET))[0] == 200


async def test_a_client_on_a_unix_socket_has_no_address(tmp_path: Path) -> None:
    path = tmp_path / "data.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(8)
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        listener = Listener(rig.data_plane.new_connection, listening)
        await listener.start()
        client = Client(*await asyncio.open_unix_connection(path))
        for _ in range(2):
            assert (await client.ask(GET))[0] == 200
        assert backend.requests[0].field("x-forwarded-for") == b"unknown"
        client.close()
        listener.stop()
        assert path.exists(), "it is the supervisor's: other workers use it too"


async def test_a_port_that_closes_resets_nobody_and_answers_everybody_it_let_in() -> None:
    """Without the filter, some of those that connect while it closes are reset (17 in 40 closes)."""
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        answered, refused = 0, 0

        async def keep_coming() -> None:
            nonlocal answered, refused
            while True:
                try:
                    reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", rig.port), 5)
                except ConnectionRefusedError:
                    refused += 1
                    return
                writer.write(GET)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                answered += 1
                writer.close()

        coming = [asyncio.create_task(keep_coming()) for _ in range(8)]
        await until(lambda: answered >= 100)
        before = answered
        await rig.listener.close_port()
        await asyncio.gather(*coming)
    assert refused == 8
    assert answered > before


async def test_a_filter_that_is_forbidden_closes_the_port_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Sandboxed(socket.socket):
        def setsockopt(self, *_: object) -> None:
            raise OSError(1, "Operation not permitted")

    with Sandboxed() as listening:
        refuse_new_connections(listening)
    assert golden("listener.closing") in caplog.text
