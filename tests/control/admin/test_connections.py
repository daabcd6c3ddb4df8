"""The limiter of the admin port: full, idle, slow and busy, on real connections with the clock as an argument."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from router.control.admin import app
from router.control.admin.app import CONNECTIONS
from router.control.admin.connections import ConnectionLimiter
from router.runtime import clock
from router.settings.sections.admin import Admin
from router.settings.settings import Settings
from tests.control.conftest import AdminHarness, StartAdmin

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW_FREEZE = b"POST /v1/services/fraud/freeze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def link(admin: AdminHarness) -> Link:
    return await asyncio.open_connection("127.0.0.1", int(admin.url.rpartition(":")[2]))


async def ask(to: Link, request: bytes = LIVEZ) -> bytes:
    to[1].write(request)
    head = await asyncio.wait_for(to[0].readuntil(b"\r\n\r\n"), 5)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await asyncio.wait_for(to[0].readexactly(length), 5)
    return head.partition(b"\r\n")[0]


async def ended(to: Link) -> bool:
    """Return whether the other side has closed without a word."""
    try:
        return await asyncio.wait_for(to[0].read(), 5) == b""
    except ConnectionResetError:
        return True


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


def acted(limiter: ConnectionLimiter) -> dict[str, int]:
    return {why: count for why, count in limiter.counts.items() if count}


def limiter_of(admin: AdminHarness) -> ConnectionLimiter:
    return admin.application[CONNECTIONS]


async def test_two_thousand_connections_that_say_nothing_do_not_keep_the_operator_out(
    start_admin: StartAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    admin = await start_admin(Admin(connections_max=50))
    limiter = limiter_of(admin)
    idle = []
    for _ in range(20):
        idle += await asyncio.gather(*(link(admin) for _ in range(100)))
        assert (await admin.call("GET", "/livez"))[0] == 200
        assert len(limiter) <= 50
    limiter.sweep(clock.now_s())
    assert limiter.counts["evicted"] >= 1950
    assert "admin.connections_max = 50 is reached: " in caplog.text
    for _, writer in idle:
        writer.close()


async def test_at_the_limit_the_longest_idle_connection_is_evicted(
    start_admin: StartAdmin,
) -> None:
    admin = await start_admin(Admin(connections_max=2))
    admin.fake.gate = asyncio.Event()
    busy = await link(admin)
    busy[1].write(SLOW_FREEZE + b"Content-Length: 2\r\n\r\n{}")
    await until(lambda: admin.fake.calls)
    first = await link(admin)
    assert await ask(first) == b"HTTP/1.1 200 OK"
    second = await link(admin)
    assert await ask(second) == b"HTTP/1.1 200 OK"
    assert await ended(first)
    admin.fake.gate.set()
    assert (await asyncio.wait_for(busy[0].readline(), 5)) == b"HTTP/1.1 200 OK\r\n"
    assert limiter_of(admin).counts["evicted"] == 1
    for _, writer in (busy, first, second):
        writer.close()


async def test_a_connection_beyond_busy_ones_is_answered_503(start_admin: StartAdmin) -> None:
    admin = await start_admin(Admin(connections_max=1))
    admin.fake.gate = asyncio.Event()
    busy = await link(admin)
    busy[1].write(SLOW_FREEZE + b"Content-Length: 2\r\n\r\n{}")
    await until(lambda: admin.fake.calls)
    status, headers, problem = await admin.call("GET", "/livez")
    assert (status, headers["Retry-After"], problem["code"]) == (503, "1", "connections_exhausted")
    admin.fake.gate.set()
    assert (await asyncio.wait_for(busy[0].readline(), 5)) == b"HTTP/1.1 200 OK\r\n"
    await asyncio.wait_for(busy[0].readuntil(b"}"), 5)
    assert (await admin.call("GET", "/livez"))[0] == 200
    assert acted(limiter_of(admin)) == {"evicted": 1, "refused": 1}
    busy[1].close()


async def test_a_request_that_was_sent_ahead_is_being_answered_when_its_body_comes(start_admin: StartAdmin) -> None:
    admin = await start_admin(Admin())
    admin.fake.gate = asyncio.Event()
    limiter, busy = limiter_of(admin), await link(admin)
    assert await ask(busy, LIVEZ + SLOW_FREEZE + b"Content-Length: 2\r\n\r\n") == b"HTTP/1.1 200 OK"
    await until(lambda: len(limiter) == 1 and not limiter.waiting)
    busy[1].write(b"{}")
    await until(lambda: admin.fake.calls)
    limiter.sweep(clock.now_s() + 100)
    assert len(limiter) == 1
    admin.fake.gate.set()
    assert (await asyncio.wait_for(busy[0].readline(), 5)) == b"HTTP/1.1 200 OK\r\n"
    busy[1].close()


async def test_a_head_has_its_time_from_the_first_byte_and_an_idle_connection_its_own(
    start_admin: StartAdmin,
) -> None:
    admin = await start_admin(Admin(header_timeout_s=10, keepalive_idle_s=75))
    limiter = limiter_of(admin)
    silent, dribbling, idle = [await link(admin) for _ in range(3)]
    assert await ask(dribbling) == await ask(idle) == b"HTTP/1.1 200 OK"
    dribbling[1].write(b"GET /livez HT")
    await until(lambda: sum(connection.idle for connection in limiter.waiting) == 1)
    now_s = clock.now_s()
    limiter.sweep(now_s + 9.5)
    assert len(limiter) == 3
    limiter.sweep(now_s + 10.5)
    assert await ended(silent)
    assert await ended(dribbling)
    assert len(limiter) == 1
    limiter.sweep(now_s + 74.5)
    assert await ask(idle) == b"HTTP/1.1 200 OK"
    limiter.sweep(clock.now_s() + 76)
    assert await ended(idle)
    assert acted(limiter) == {"header_timeout": 2, "keepalive_idle": 1}
    for _, writer in (silent, dribbling, idle):
        writer.close()


async def test_a_closed_connection_leaves_nothing_behind(start_admin: StartAdmin) -> None:
    admin = await start_admin()
    limiter = limiter_of(admin)
    gone = [await link(admin) for _ in range(5)]
    admin.fake.gate = asyncio.Event()
    gone[0][1].write(SLOW_FREEZE + b"Content-Length: 2\r\n\r\n{}")
    gone[1][1].write(b"GET /livez")
    await until(lambda: admin.fake.calls)
    for _, writer in gone:
        writer.transport.abort()
    await until(lambda: len(limiter) == 0)
    assert limiter.waiting == ()
    admin.fake.gate.set()


async def test_limits_of_other_settings_hold_at_once_and_show_in_the_figures(start_admin: StartAdmin) -> None:
    admin = await start_admin()
    limiter = limiter_of(admin)
    silent = await link(admin)
    await until(lambda: len(limiter) == 1)
    app.reconfigure(admin.application, Settings.model_validate({"admin": {"header_timeout_s": 0.5}}))
    limiter.sweep(clock.now_s() + 0.6)
    assert await ended(silent)
    figures = (await admin.call("GET", "/metrics"))[2]
    assert 'rollback_router_admin_connections_closed_total{why="header_timeout"} 1.0\n' in figures
    silent[1].close()


async def test_a_request_in_the_kernel_prevents_an_eviction(start_admin: StartAdmin) -> None:
    """What the kernel holds unread may be a request: neither the idle time nor a newcomer closes upon it."""
    admin = await start_admin(Admin(connections_max=2, keepalive_idle_s=75))
    limiter = limiter_of(admin)
    first, second = await link(admin), await link(admin)
    assert await ask(first) == await ask(second) == b"HTTP/1.1 200 OK"
    await until(lambda: sum(connection.idle for connection in limiter.waiting) == 2)
    send_now(first, LIVEZ)
    limiter.sweep(clock.now_s() + 76)
    assert await ended(second)
    assert (await asyncio.wait_for(first[0].readline(), 5)) == b"HTTP/1.1 200 OK\r\n"
    assert limiter.counts["keepalive_idle"] == 1
    first[1].close()
    second[1].close()


def send_now(to: Link, data: bytes) -> None:
    """Write into the kernel without a turn of the loop."""
    with socket.socket(fileno=socket.dup(to[1].get_extra_info("socket").fileno())) as same:
        assert same.send(data) == len(data)
