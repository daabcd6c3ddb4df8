"""The listening socket of one worker."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from router.proxy.listener import Listener
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Client, Rig

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


async def test_after_stop_nobody_new_is_accepted_and_who_is_there_goes_on() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        rig.listener.stop()
        await asyncio.sleep(0)
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
        listener = Listener(rig.plane, listening)
        await listener.start()
        client = Client(*await asyncio.open_unix_connection(path))
        for _ in range(2):
            assert (await client.ask(GET))[0] == 200
        assert backend.requests[0].field("x-forwarded-for") == b"unknown"
        client.close()
        listener.stop()
        assert path.exists(), "it is the supervisor's: other workers use it too"
