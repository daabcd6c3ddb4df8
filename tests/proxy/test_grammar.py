"""Each byte at each place of the grammar: served where it may stand, refused where not, whole and byte by byte."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from router.proxy.engine.upstream import Upstream
from router.runtime import clock
from tests.proxy.grammar import REQUESTS, RESPONSES, filled
from tests.proxy.recorder import Recorder, Wire, statuses
from tests.proxy.rig import Rig
from tests.proxy.waiting import turns

GET = b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n"


def pieces(raw: bytes, number: int) -> list[bytes]:
    """Every fourth message comes byte by byte."""
    return [raw[at : at + 1] for at in range(len(raw))] if number % 4 == 0 else [raw]


@pytest.mark.parametrize(
    ("before", "behind", "allowed"), [place[1:] for place in REQUESTS], ids=[p[0] for p in REQUESTS]
)
async def test_each_byte_in_a_request(before: bytes, behind: bytes, allowed: frozenset[int]) -> None:
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        for number, (raw, valid) in enumerate(filled(before, behind, allowed)):
            recorder.clear()
            wire = Wire(rig.data_plane)
            wire.feed(*pieces(raw, number))
            async with asyncio.timeout(5):
                while not wire.over and not wire.written.endswith(b"\r\n\r\nok"):
                    await turns()
            assert (statuses(wire.written)[0] == 200) is valid, raw
            assert len(recorder.requests) == valid, raw
            wire.leave()
        await rig.quiet()


class Silent:
    """A backend's transport that keeps what was asked, and takes an abort."""

    def __init__(self, alive: socket.socket) -> None:
        self._alive = alive
        self.aborted = False

    def write(self, data: bytes) -> None: ...

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self._alive}.get(name)

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0


def answered(rig: Rig, alive: socket.socket, answer: list[bytes]) -> tuple[Wire, bool]:
    """Return what a client gets if a backend answers this, and whether the connection to the backend was given up."""
    pool = rig.data_plane.services[0].active.pools[0]  # type: ignore[union-attr]
    upstream, transport = Upstream(rig.context, pool), Silent(alive)
    upstream.connection_made(transport)  # type: ignore[arg-type]
    pool.release(upstream, clock.now_s())
    wire = Wire(rig.data_plane)
    wire.feed(GET)
    for piece in answer:
        if not transport.aborted:
            upstream.data_received(piece)
    given_up = transport.aborted
    upstream.abort()
    pool.remove(upstream)
    return wire, given_up


@pytest.mark.parametrize(
    ("before", "behind", "allowed"), [place[1:] for place in RESPONSES], ids=[p[0] for p in RESPONSES]
)
async def test_each_byte_in_a_response(before: bytes, behind: bytes, allowed: frozenset[int]) -> None:
    alive, other = socket.socketpair()
    with alive, other:
        async with Rig() as rig:
            rig.serve("http://127.0.0.1:9")
            for number, (raw, valid) in enumerate(filled(before, behind, allowed)):
                wire, given_up = answered(rig, alive, pieces(raw, number))
                if valid:
                    assert (wire.written[-5:], given_up) == (raw[-5:], raw.startswith(b"HTTP/1.0")), raw
                else:
                    assert given_up, raw
                    assert wire.over or wire.written.startswith(b"HTTP/1.1 502 "), raw
                wire.leave()
                del wire
                await turns()
