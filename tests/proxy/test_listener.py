"""The listening socket of one worker."""

from __future__ import annotations

import asyncio

import pytest

from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig

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
