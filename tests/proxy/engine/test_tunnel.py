"""WebSockets: a tunnel exists only after the backend's 101, ends with exactly one outcome, and leaves everything else alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from router.rollout.model.route import Flag
from router.shm import layout as at
from router.shm.slots import Slots
from tests import backends
from tests.backends import Backend, Connection
from tests.proxy.rig import OPTIONS, Client, Rig, field, until

ASK = (
    b"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def switching(then: Callable[[Connection], object] | None = None, raw: bytes = SWITCH) -> backends.Behaviour:
    """Agree to the upgrade, then send back what comes, or do as `then` does."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(raw)
        if then is not None:
            then(connection)
            await connection.closed()
            await until(connection.writer.transport.is_closing)
            return
        while data := await connection.reader.read(65536):
            await connection.send(data)

    return behave


async def open_tunnel(rig: Rig, held: bytes = b"") -> Client:
    client = await rig.client()
    await client.send(ASK + held)
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    return client


async def test_the_gauge_of_tunnels_counts_an_open_one_and_is_zero_after_its_end() -> None:
    async with Backend(switching()) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.data_plane.sweep()
        client = await open_tunnel(rig)
        rig.data_plane.sweep()
        assert (rig.scalar(at.L_TUNNELS), rig.scalar(at.L_WAITING)) == (1, 0)
        client.writer.write_eof()
        assert await client.rest() == b""
        await rig.quiet()
        rig.data_plane.sweep()
        assert rig.scalar(at.L_TUNNELS) == 0


async def test_bytes_pass_both_ways_after_the_101_and_it_ends_well() -> None:
    async with Backend(switching()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(ASK)
        head = await client.head()
        assert (field(head, b"upgrade"), field(head, b"connection")) == (b"websocket", b"Upgrade")
        assert field(head, b"sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert field(head, b"x-served-version") == b"v1"
        request = backend.requests[0]
        assert (request.field("upgrade"), request.field("connection")) == (b"websocket", b"Upgrade")
        assert request.field("sec-websocket-key") == b"dGhlIHNhbXBsZSBub25jZQ=="
        every = bytes(range(256)) * 4
        await client.send(every)
        assert await client.exactly(1024) == every
        assert (rig.scalar(at.L_BEGUN), rig.worker_stats.slot_in_flight(0, 0)) == (1, 1)
        client.writer.write_eof()
        assert await client.rest() == b""
        await rig.quiet()
        assert not rig.context.tunnel_close.since
    assert rig.attempts() == rig.exchanges() == {"ok": 1}
    assert sum(rig.worker_stats.slot_histogram(0, 0, at.L_DURATION)) == 0, "a WebSocket is no slow answer"


async def test_the_backend_may_speak_first_and_close_first() -> None:
    def speak(connection: Connection) -> None:
        connection.writer.write(b"bye")
        connection.half_close()

    async with Backend(switching(speak, SWITCH + b"hello ")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await open_tunnel(rig)
        assert await client.rest() == b"hello bye"
        client.close()
        await rig.quiet()
    assert rig.attempts() == {"ok": 1}


async def test_what_the_client_sends_before_the_101_waits_for_it_and_is_bounded() -> None:
    agree = asyncio.Event()

    async def hesitate(connection: Connection) -> None:
        await connection.read_request()
        await agree.wait()
        assert not connection.reader._buffer  # type: ignore[attr-defined]
        await connection.send(SWITCH)
        while data := await connection.reader.read(65536):
            await connection.send(data)

    async with Backend(hesitate) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        early = b"x" * 1_000_000
        client.writer.write(ASK + early)
        await until(lambda: next(iter(rig.data_plane.limiter.connections)).paused)
        assert (
            len(next(iter(rig.data_plane.limiter.connections)).buffer) <= 2 * 65536 + 262144
        )  # one read beyond the limit
        agree.set()
        await client.head()
        assert await client.exactly(len(early)) == early


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (backends.response(200, b"plain"), 200),
        (backends.response(426, b"no", "Upgrade: websocket", "Connection: Upgrade"), 426),
        (backends.response(403, b"no"), 403),
    ],
)
async def test_any_other_answer_is_an_ordinary_one(raw: bytes, status: int) -> None:
    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(2):
            answer, head, _body = await client.ask(ASK)
            assert answer == status
            assert field(head, b"upgrade") == (b"websocket" if status == 426 else None)
        assert backend.connections == 1


WRONG = {
    "other protocol": SWITCH.replace(b"WebSocket", b"other"),
    "h2c": SWITCH.replace(b"WebSocket", b"h2c"),
    "no Upgrade": SWITCH.replace(b"Upgrade: WebSocket\r\n", b""),
    "no Connection": SWITCH.replace(b"Connection: upgrade\r\n", b""),
    "a length": SWITCH.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"),
    "HTTP/1.0": SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0"),
}


@pytest.mark.parametrize("raw", WRONG.values(), ids=WRONG)
async def test_a_101_to_something_else_is_502(raw: bytes) -> None:
    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        status, head, _ = await rig.ask(ASK)
        assert (status, field(head, b"x-router-error")) == (502, b"upstream_broken")
    assert rig.attempts() == {"truncated": 1}


NOT_ASKED = {
    "h2c": ASK.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    "not in Connection": ASK.replace(b", Upgrade", b""),
    "POST": ASK.replace(b"GET", b"POST"),
    "HTTP/1.0": ASK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "with a body": ASK.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nhi"),
    "no key": ASK.replace(b"Sec-WebSocket-Key", b"X-Key"),
    "key for one hop": ASK.replace(b", Upgrade", b", Upgrade, Sec-WebSocket-Key"),
}


@pytest.mark.parametrize("raw", NOT_ASKED.values(), ids=NOT_ASKED)
async def test_what_does_not_ask_for_a_websocket_is_an_ordinary_request_and_never_a_tunnel(raw: bytes) -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (await rig.ask(raw))[0] == 200
        assert (backend.requests[0].field("upgrade"), backend.requests[0].field("connection")) == (None, None)
        backend.behaviour = backends.sending(SWITCH)
        assert (await rig.ask(raw))[0] == 502


async def test_of_several_protocols_only_websocket_is_passed_on() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (await rig.ask(ASK.replace(b"Upgrade: websocket", b"Upgrade: h2c, WebSocket")))[0] == 200
        assert backend.requests[0].field("upgrade") == b"websocket"


async def test_a_tunnel_survives_a_switch_on_the_version_it_began_on() -> None:
    async with Backend(switching()) as old, Backend(backends.ok()) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        client = await open_tunnel(rig)
        rig.route(1, 0, flags=Flag.REDISPATCH)
        assert (await rig.ask(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"))[0] == 200
        await client.send(b"still here")
        assert await client.exactly(10) == b"still here"
        client.writer.write_eof()
        await client.rest()
        await rig.quiet()
    assert rig.attempts(0) == {"ok": 1}
    assert rig.attempts(1) == {"ok": 1}


async def test_a_drain_cuts_a_tunnel_with_a_reset_and_no_fault() -> None:
    async with Backend(switching()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await open_tunnel(rig)
        Slots(rig.segment, 0).cut(0, rig.route(0))
        rig.data_plane.refresh()
        with pytest.raises(ConnectionResetError):
            await client.rest()
        await until(lambda: not backend.open)
    assert rig.attempts() == rig.exchanges() == {"cut": 1}


async def test_shutdown_waits_for_a_tunnel_up_to_its_limit_then_cuts() -> None:
    async with Backend(switching()) as backend, Rig(replace(OPTIONS, shutdown_timeout_s=0.05)) as rig:
        rig.serve(backend.url)
        client = await open_tunnel(rig)
        await rig.data_plane.drain()
        with pytest.raises(ConnectionResetError):
            await client.rest()
    assert rig.attempts() == {"cut": 1}


async def test_a_client_that_resets_is_gone_and_the_backend_is_told() -> None:
    async with Backend(switching()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await open_tunnel(rig)
        client.reset()
        await until(lambda: not backend.open)
        await rig.quiet()
    assert rig.attempts() == rig.exchanges() == {"client_gone": 1}


async def test_a_backend_that_resets_is_a_fault_and_the_client_is_told() -> None:
    async with Backend(switching(Connection.reset)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(ASK)
        with pytest.raises(ConnectionResetError):
            while await client.reader.read(65536):
                pass
        await rig.quiet()
    assert rig.attempts() == rig.exchanges() == {"truncated": 1}


async def test_a_client_that_closes_before_the_101_is_gone() -> None:
    async with Backend(backends.never()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(ASK + b"half a frame")
        await until(lambda: backend.requests)
        client.writer.write_eof()
        await rig.quiet()
    assert rig.attempts() == {"client_gone": 1}


async def test_a_side_that_does_not_close_in_turn_has_a_grace() -> None:
    async with Backend(switching(lambda _: None)) as backend, Rig(replace(OPTIONS, half_close_grace_s=0.05)) as rig:
        rig.serve(backend.url)
        client = await open_tunnel(rig)
        client.writer.write_eof()
        assert await client.rest() == b""
        await rig.quiet()
    assert rig.attempts() == {"ok": 1}


async def test_a_quiet_tunnel_lives_unless_it_has_a_limit_and_then_is_nobodys_fault() -> None:
    options = replace(OPTIONS, tunnel_idle_s=0.15)
    async with Backend(switching()) as backend, Rig(options, idle_timeout_s=0.05, first_byte_timeout_s=0.05) as rig:
        rig.options = replace(options, services=(replace(OPTIONS.services[0], idle_timeout_s=0.05),))
        rig.data_plane.reconfigure(rig.options)
        rig.serve(backend.url)
        client = await open_tunnel(rig)
        with pytest.raises(ConnectionResetError):
            await client.rest()
        await rig.quiet()
    assert rig.attempts() == {"cut": 1}


@pytest.mark.parametrize("side", ["client", "backend"])
async def test_the_side_that_is_slow_holds_the_other_back(side: str) -> None:
    received = bytearray()
    go = asyncio.Event()
    data = bytes(range(256)) * 80_000

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.send(SWITCH)
        if side == "client":  # is the slow one
            await connection.send(data)
        else:
            transport = connection.writer.transport
            transport.pause_reading()  # type: ignore[attr-defined]
            await go.wait()
            transport.resume_reading()  # type: ignore[attr-defined]
            while len(received) < len(data):
                received.extend(await connection.reader.read(65536))
        await connection.closed()

    async with Backend(behave) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await open_tunnel(rig)
        fast = client.writer.transport if side == "backend" else next(iter(backend.open)).writer.transport
        if side == "backend":
            client.writer.write(data)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        clock_of = rig.context.write_rate if side == "client" else rig.data_plane.services[0].idle
        await until(lambda: clock_of.since and fast.get_write_buffer_size())  # the fast side is held back
        assert len(clock_of.since) == 1, "it has to take something in time"
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        go.set()
        if side == "client":
            received.extend(await client.exactly(len(data)))
        await until(lambda: len(received) == len(data))
        assert received == data
        await until(lambda: not clock_of.since)
        client.writer.write_eof()
        await client.rest()
        await rig.quiet()
    assert rig.attempts() == {"ok": 1}


@asynccontextmanager
async def websocket_server() -> AsyncIterator[str]:
    """A real server: it sends each message back, closes on "bye"."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            if message.data == "bye":
                await socket.close(code=4000)
            elif message.type == aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/ws", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_real_client_and_a_real_server(who: str) -> None:
    async with websocket_server() as url, Rig() as rig, aiohttp.ClientSession() as session:
        rig.serve(url)
        async with session.ws_connect(f"http://127.0.0.1:{rig.port}/ws", protocols=("chat",), compress=15) as socket:
            assert socket.protocol == "chat"
            for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
                await socket.send_bytes(b"x" * size)
                assert await socket.receive_bytes(timeout=5) == b"x" * size
            await socket.send_str("äöü")
            assert await socket.receive_str(timeout=5) == "äöü"
            if who == "server":
                await socket.send_str("bye")
                await socket.receive(timeout=5)
                assert socket.close_code == 4000
        await rig.quiet()
    assert rig.attempts() == rig.exchanges() == {"ok": 1}
