"""What a backend breaks is never shown as whole, cut anywhere, and its connection is not used again."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import h11
import pytest

from tests.proxy.hostile import BROKEN, EXCESSIVE, Hostile
from tests.proxy.recorder import Wire
from tests.proxy.rig import OPTIONS, Rig, until
from tests.proxy.waiting import turns

FAULTS = (502, 504)


class Enemy:
    """A backend that answers each request with `case`; number n of its connections sends it in two pieces, cut at n."""

    def __init__(self, case: Hostile) -> None:
        self.case = case
        self.requests: list[int] = []
        self._connections = 0
        self._sides: list[_Side] = []
        self.sent = 0

    def _accept(self) -> _Side:
        self._connections += 1
        self._sides.append(_Side(self, self._connections))
        return self._sides[-1]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for side in self._sides:
            side.leave()
        await turns(3)


class _Side(asyncio.Protocol):
    def __init__(self, enemy: Enemy, number: int) -> None:
        self._enemy = enemy
        self.number = number
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._got.endswith(b"\r\n\r\n"):
            cut = len(self._enemy.requests)
            self._enemy.requests.append(self.number)
            self._got = b""
            self._transport.write(self._enemy.case.raw[:cut])
            asyncio.get_running_loop().call_later(0.002, self._send_rest, cut)

    def _send_rest(self, cut: int) -> None:
        self._enemy.sent += 1
        if self._transport.is_closing():
            return
        self._transport.write(self._enemy.case.raw[cut:])
        if self._enemy.case.closing == "reset":
            asyncio.get_running_loop().call_later(0.005, self._reset)
        elif self._enemy.case.closing:
            self._transport.close()

    def leave(self) -> None:
        self._transport.abort()

    def _reset(self) -> None:
        if not self._transport.is_closing():
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


def reads_as_whole(method: bytes, written: bytes, closed: bool, reset: bool) -> tuple[int, bool]:
    """Return (status, whether h11 takes what the client got for a whole message)."""
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method=method, target=b"/a", headers=[(b"Host", b"t")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(written)
    if closed and not reset:
        reader.receive_data(b"")
    status = 0
    try:
        while True:
            event = reader.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                assert reader.trailing_data[0] == b"", "a second response in the first"
                return status, True
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return status, False
    except h11.RemoteProtocolError as error:
        assert "without sending complete" in str(error) or "incomplete" in str(error), error  # noqa: PT017
        return status, False


def request(case: Hostile, version: bytes = b"HTTP/1.1") -> bytes:
    return case.method + b" /a " + version + b"\r\nHost: t\r\n\r\n"


def places(case: Hostile) -> int:
    """How many cuts of it are tried: each, of what is not long by repetition."""
    return min(len(case.raw) + 1, 130)


async def ask(rig: Rig, case: Hostile, version: bytes) -> Wire:
    wire = Wire(rig.data_plane)
    wire.feed(request(case, version))
    await until(lambda: wire.over or wire.protocol.exchange is None, 10)
    return wire


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=["1.1", "1.0"])
@pytest.mark.parametrize("case", BROKEN, ids=[case.name[:50] for case in BROKEN])
async def test_broken(case: Hostile, version: bytes) -> None:
    """A 502, or a cut that a client sees; each request over a connection of its own."""
    async with Enemy(case) as enemy, Rig(replace(OPTIONS, in_flight_max=500, connect_waits_max=500)) as rig:
        rig.serve(enemy.url)
        number = places(case)
        wires = await asyncio.gather(*(ask(rig, case, version) for _ in range(number if version[-1:] == b"1" else 3)))
        for cut, wire in enumerate(wires):
            status, whole = reads_as_whole(case.method, wire.written, wire.over, wire.reset)
            assert (whole and status in FAULTS) or (not whole and wire.over), (cut, status, whole, wire.written)
            wire.leave()
        assert sorted(enemy.requests) == sorted(set(enemy.requests)), "a connection was used again"
        assert set(rig.attempts()) == {"truncated"}


@pytest.mark.parametrize("case", EXCESSIVE, ids=[case.name for case in EXCESSIVE])
async def test_bytes_behind_the_end_reach_nobody(case: Hostile) -> None:
    """The response is shown without them; the next client, on whatever connection, gets an answer of its own."""
    async with Enemy(case) as enemy, Rig() as rig:
        rig.serve(enemy.url)
        for number in range(1, places(case) + 1):
            wire = await ask(rig, case, b"HTTP/1.1")
            # Bytes that come after the next request was sent are its answer in HTTP/1.1: no proxy can tell.
            await until(lambda number=number: enemy.sent == number)  # type: ignore[misc]
            await turns(3)
            assert b"poison" not in wire.written
            status, whole = reads_as_whole(case.method, wire.written, wire.over, wire.reset)
            assert whole or wire.over, wire.written
            assert status in (200, 204, 304), wire.written
            if status == 204:
                assert b"content-length" not in wire.written.lower()
                assert b"transfer-encoding" not in wire.written.lower()
            wire.leave()
        assert set(rig.attempts()) <= {"ok"}
