"""Generated responses of a backend, cut anywhere: the client reads what an h11 model reads, or sees that it is broken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.example_counts import examples
from tests.proxy.persistent_rig import PersistentRig
from tests.proxy.reading import Reading, read
from tests.proxy.recorder import Wire
from tests.proxy.rig import OPTIONS, Rig, until
from tests.proxy.streams import CUTS, Response, changed, pieces, responses
from tests.proxy.waiting import turns


class Speaker:
    """A backend that answers each request with `script`, piece by piece, and closes then if `closing`."""

    def __init__(self) -> None:
        self.script: list[bytes] = []
        self.closing = False
        self.done = False
        self.moved = 0
        self._sides: set[_Side] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Side(self), "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for side in list(self._sides):
            side.transport.abort()
        await turns(3)

    def enter(self, side: _Side) -> None:
        self._sides.add(side)

    def leave(self, side: _Side) -> None:
        self._sides.discard(side)


class _Side(asyncio.Protocol):
    transport: Any = None

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._speaker.enter(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._speaker.leave(self)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._got.endswith(b"\r\n\r\n"):
            self._got = b""
            self._speak(0)

    def _speak(self, number: int) -> None:
        speaker = self._speaker
        if number < len(speaker.script) and not self.transport.is_closing():
            self.transport.write(speaker.script[number])
            speaker.moved += 1
            asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(self._speak, number + 1))
            return
        if speaker.closing:
            self.transport.close()
        speaker.done = True


@pytest.fixture
def persistent() -> Iterator[PersistentRig]:
    options = replace(OPTIONS, services=tuple(replace(one, idle_timeout_s=1.0) for one in OPTIONS.services))
    with PersistentRig(Speaker(), Rig(options)) as one:
        yield one


async def ask(persistent: PersistentRig, method: bytes, version: bytes, script: list[bytes], closing: bool) -> Reading:
    """Return what the client reads."""
    speaker = persistent.backend
    speaker.script, speaker.closing, speaker.done = script, closing, False
    wire = Wire(persistent.rig.data_plane)
    wire.feed(method + b" /a " + version + b"\r\nHost: t\r\n\r\n")
    await until(lambda: speaker.done and (wire.over or wire.protocol.exchange is None), 10)
    await persistent.still(wire)
    found = read(method, wire.written, closed=wire.over and not wire.reset)
    wire.leave()
    return found


def judge(model: Reading, found: Reading, version: bytes) -> None:
    """A whole answer says what the backend said, and nothing behind it; what the backend broke is not whole."""
    assert found.behind == b""
    if found.by_router:
        assert found.status in (502, 504)
        return
    if not found.whole:
        return
    assert model.whole, "a broken response looks whole"
    assert (found.status, found.fields, found.body) == (model.status, model.fields, model.body)
    if version == b"HTTP/1.1":
        assert found.interim == tuple(status for status in model.interim if status != 100)
        assert found.trailers == model.trailers


VERSIONS = st.sampled_from((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"))
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]  # one rig for all examples of a test


@settings(max_examples=examples(200), derandomize=True, suppress_health_check=SUPPRESSED)
@given(response=responses(), version=VERSIONS, cuts=CUTS)
def test_a_whole_response_arrives_whole(
    persistent: PersistentRig, response: Response, version: bytes, cuts: set[int]
) -> None:
    model = read(response.method, response.raw, closed=response.closing)
    assert model.whole
    found = persistent.run(ask(persistent, response.method, version, pieces(response.raw, cuts), response.closing))
    assert found.whole
    assert not found.by_router
    judge(model, found, version)


@settings(max_examples=examples(300), derandomize=True, suppress_health_check=SUPPRESSED)
@given(data=st.data(), response=responses(), version=VERSIONS, cuts=CUTS)
def test_a_changed_response_is_read_as_h11_reads_it_or_is_broken(
    persistent: PersistentRig, data: st.DataObject, response: Response, version: bytes, cuts: set[int]
) -> None:
    raw = data.draw(changed(response.raw))
    model = read(response.method, raw, closed=True)
    found = persistent.run(ask(persistent, response.method, version, pieces(raw, cuts), True))
    assert found.whole or found.status == 0 or not model.whole or not found.by_router
    judge(model, found, version)
