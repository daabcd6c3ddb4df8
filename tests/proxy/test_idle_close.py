"""Each way in which an idle connection is closed, with a request that comes in the very turn of the loop that closes it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from router.proxy.options import Options
from router.runtime import clock
from router.tls.contexts import ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.rig import OPTIONS, Client, Rig, field, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
AGED = replace(OPTIONS, connection_age_max_s=60.0)
Close = Callable[[Rig], None]


def idle_for_too_long(rig: Rig) -> None:
    rig.context.keepalive.sweep(clock.now_s() + OPTIONS.keepalive_idle_s + 1)


def too_old(rig: Rig) -> None:
    rig.data_plane.limiter.ages.sweep(clock.now_s() + 61)


def shorter_by_a_reload(rig: Rig) -> None:
    rig.data_plane.reconfigure(replace(rig.options, keepalive_idle_s=0.001))
    rig.context.keepalive.sweep(clock.now_s() + 1)


def stopping(rig: Rig) -> None:
    """As `drain` has it when `shutdown_idle_s` is over."""
    rig.data_plane._begin_to_drain(clock.now_s())
    rig.context.keepalive.sweep(clock.now_s() + 1)


WAYS = [
    pytest.param(idle_for_too_long, OPTIONS, id="keepalive_idle_s"),
    pytest.param(too_old, AGED, id="connection_age_max_s"),
    pytest.param(shorter_by_a_reload, OPTIONS, id="reload"),
    pytest.param(stopping, OPTIONS, id="stop"),
]


def send_now(client: Client, data: bytes) -> None:
    """Write into the kernel without a turn of the loop."""
    with socket.socket(fileno=socket.dup(client.writer.get_extra_info("socket").fileno())) as same:
        assert same.send(data) == len(data)


async def lasting(rig: Rig) -> Client:
    """Return a connection that has had an answer and is idle."""
    client = await rig.client()
    assert (await client.ask(GET))[0] == 200
    await until(lambda: rig.context.keepalive.since)
    return client


@pytest.mark.parametrize(("close", "options"), WAYS)
async def test_a_request_that_comes_in_that_turn_is_answered_and_told_that_it_was_the_last(
    close: Close, options: Options
) -> None:
    async with Backend(backends.ok(b"served")) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await lasting(rig)
        send_now(client, GET)
        close(rig)
        status, head, body = await client.response()
        assert (status, body, field(head, b"connection")) == (200, b"served", b"close")
        assert await client.rest() == b""


@pytest.mark.parametrize(("close", "options"), WAYS)
async def test_half_a_head_that_comes_in_that_turn_is_waited_for(close: Close, options: Options) -> None:
    async with Backend(backends.ok(b"served")) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await lasting(rig)
        send_now(client, GET[:9])
        close(rig)
        await rig.has_read(client)
        await client.send(GET[9:])
        status, head, _ = await client.response()
        assert (status, field(head, b"connection")) == (200, b"close")


@pytest.mark.parametrize(("close", "options"), [way for way in WAYS if way.id != "connection_age_max_s"])
async def test_one_that_is_silent_is_closed(close: Close, options: Options) -> None:
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await lasting(rig)
        close(rig)
        assert await client.rest() == b""
        await until(lambda: not rig.data_plane.limiter.connections)


async def test_an_old_one_that_is_idle_is_closed_with_its_next_answer_or_after_its_idle_time() -> None:
    async with Backend(backends.ok()) as backend, Rig(AGED) as rig:
        rig.serve(backend.url)
        client, silent = await lasting(rig), await lasting(rig)
        too_old(rig)
        assert len(rig.data_plane.limiter.connections) == 2
        status, head, _ = await client.ask(GET)
        assert (status, field(head, b"connection")) == (200, b"close")
        idle_for_too_long(rig)
        assert await silent.rest() == b""


async def test_the_first_request_of_a_connection_may_come_just_as_its_time_is_over() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client, silent = await rig.client(), await rig.client()
        await until(lambda: len(rig.context.header_wait.since) == 2)
        send_now(client, GET)
        rig.context.header_wait.sweep(clock.now_s() + OPTIONS.header_timeout_s + 1)
        assert (await client.response())[0] == 200
        assert await silent.rest() == b""


async def test_a_request_over_tls_that_comes_in_that_turn_is_answered(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    options = replace(OPTIONS, tls=ServerTls(authority.pair()))
    async with Backend(backends.ok(b"served")) as backend, Rig(options) as rig:
        rig.serve(backend.url)

        def connect() -> ssl.SSLSocket:
            return authority.client().wrap_socket(
                socket.create_connection(("127.0.0.1", rig.port), 5), server_hostname="localhost"
            )

        def answer() -> bytes:
            data = b""
            while not data.endswith(b"served"):
                if not (part := client.recv(4096)):
                    break
                data += part
            return data

        client = await asyncio.to_thread(connect)
        with client:
            client.send(GET)
            assert (await asyncio.to_thread(answer)).endswith(b"served")
            await until(lambda: rig.context.keepalive.since)
            client.send(GET)  # into the kernel, without a turn of the loop
            idle_for_too_long(rig)
            assert b"\r\nConnection: close\r\n" in await asyncio.to_thread(answer)


async def test_an_answer_that_did_not_announce_it_is_not_followed_by_the_end() -> None:
    """Its head was written before the stop; the client may send its next request as soon as it has the last byte."""
    async with Backend(backends.tokens(3, 0.05, text=b"x")) as backend:
        async with Rig(replace(OPTIONS, shutdown_idle_s=1.0)) as rig:
            rig.serve(backend.url)
            client = await rig.client()
            await client.send(GET)
            assert field(await client.head(), b"connection") is None
            draining = asyncio.ensure_future(rig.data_plane.drain())
            await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), 5)
            await client.send(GET)
            head = await client.head()
            assert (head[:12], field(head, b"connection")) == (b"HTTP/1.1 200", b"close")
            assert (await client.rest()).endswith(b"0\r\n\r\n")
            client.close()
            await draining


async def test_at_a_stop_what_never_sent_a_byte_is_idle_too() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, shutdown_idle_s=0.3)) as rig:
        rig.serve(backend.url)
        client, silent = await rig.client(), await rig.client()
        await until(lambda: len(rig.data_plane.limiter.connections) == 2)
        draining = asyncio.ensure_future(rig.data_plane.drain())
        await until(lambda: rig.context.draining)
        status, head, _ = await client.ask(GET)
        assert (status, field(head, b"connection")) == (200, b"close")
        client.close()
        assert await silent.rest() == b""
        silent.close()
        await asyncio.wait_for(draining, 1.5)


async def test_a_pipeline_that_ends_with_an_announced_close_does_not_harm_the_answer_before_it() -> None:
    """Requests behind the last one are on their way when we close: a reset would destroy the answer (RFC 9112 §9.6)."""
    async with (
        Backend(backends.ok(b"x" * 100_000)) as backend,
        Rig(replace(OPTIONS, requests_per_connection_max=1)) as rig,
    ):
        rig.serve(backend.url)
        for _ in range(10):
            client = await rig.client()
            await client.send(GET)
            await until(lambda: rig.context.linger.since)
            send_now(client, GET * 3)
            assert len((await client.response())[2]) == 100_000
            client.close()
            await until(lambda: not rig.data_plane.limiter.connections)
