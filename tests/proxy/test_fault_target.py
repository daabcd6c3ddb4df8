"""What targets break, cases 21 to 30 of the catalogue (tests/fault_catalogue.py): what the client gets, and which window sees it.

Class U: one fault of the version that served it. That all is quiet afterwards is asked by the rig itself.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import pytest

from router.proxy.options import Options
from router.shm import layout as at
from tests import backends
from tests.backends import Backend, Behaviour
from tests.proxy.rig import OPTIONS, SERVICE, Rig, field, until

GET = b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
WHOLE = backends.response(200, b"hello")
STREAM = backends.CHUNKED + backends.chunk(b"hello") + backends.LAST_CHUNK


def windows(rig: Rig, slot: int = 0) -> tuple[dict[str, int], int, int]:
    """Return (ends of attempts, begun, faults that had not begun): all that a window is made of."""
    return rig.attempts(slot), rig.scalar(at.L_BEGUN, slot), rig.scalar(at.L_FAULTS_UNBEGUN, slot)


# -- cases 21 and 22
async def test_a_reset_at_accept_is_a_fault_and_answered_at_once() -> None:
    """case 21: RST at accept."""
    async with Backend(backends.reset_at_accept()) as backend, Rig() as rig:
        rig.serve(backend.url)
        began = perf_counter()
        status, head, _ = await rig.ask(POST)
        assert (status, field(head, b"x-router-error")) in ((502, b"upstream_broken"), (502, b"connect_failed"))
        assert perf_counter() - began < 1.0
    ends, begun, unbegun = windows(rig)
    assert (sum(ends.values()), set(ends) <= {"truncated", "connect_failed"}, begun, unbegun) == (1, True, 0, 1)


@contextmanager
def black_hole() -> Iterator[str]:
    """Yield the URL of a listener whose queue is full: the kernel drops each further SYN, as a host that is gone would."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for filler in fillers:
            filler.close()


async def test_a_black_hole_is_504_at_the_connect_timeout_and_harms_no_other_service() -> None:
    """case 22: SYN dropped."""
    services = (replace(SERVICE, name="dark", path_prefix=b"/dark"), SERVICE)
    options = replace(OPTIONS, services=services, connect_timeout_s=0.2)
    with black_hole() as url:
        async with Backend(backends.ok()) as backend, Rig(options) as rig:
            rig.fill(0, "dark", url, service=0)
            rig.route(0, service=0)
            rig.fill(0, "v1", backend.url, service=1)
            rig.route(0, service=1)
            dark, other = await rig.client(), await rig.client()
            began = perf_counter()
            await dark.send(GET.replace(b"/a", b"/dark"))
            for _ in range(20):
                assert (await other.ask(GET))[0] == 200
            assert perf_counter() - began < 0.2
            status, head, _ = await dark.response()
            assert (status, field(head, b"x-router-error")) == (504, b"connect_failed")
            (pool,) = rig.data_plane.services[0].targets[0].pools
            assert pool.standing.backoff_until_s > rig.context.now_s, "the endpoint is rested"
    assert (rig.attempts(0, 0), rig.attempts(0, 1)) == ({"connect_failed": 1}, {"ok": 20})


# -- case 23
def closing_as_reused(answers: int = 1) -> Behaviour:
    """Keep the connection open until its next request arrives, then reset it, as an idle timeout at that moment would."""

    async def behave(connection: backends.Connection) -> None:
        for _ in range(answers):
            await connection.read_request()
            await connection.send(WHOLE)
        await connection.read_head()
        connection.reset()

    return behave


STALE = {
    "case 23: a sent POST, never twice": ("unsent", POST, 502),
    "case 23: a sent GET where only unsent is moved": ("unsent", GET, 502),
    "case 23: an idempotent GET": ("idempotent", GET, 200),
    "case 23: a POST that is not idempotent": ("idempotent", POST, 502),
    "case 23: a POST that may be replayed": ("always", POST, 200),
    "case 23: a chunked POST that may be replayed": (
        "always",
        b"POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
    ),
    "case 23: nothing is ever moved": ("never", GET, 502),
}


@pytest.mark.parametrize("standby", [False, True], ids=["alone", "with a standby"])
@pytest.mark.parametrize(("replay", "raw", "status"), STALE.values(), ids=STALE)
async def test_a_connection_closed_as_we_reuse_it(replay: str, raw: bytes, status: int, standby: bool) -> None:
    """The same endpoint over another connection: whether it is tried is the service's rule, and its success no fault."""
    async with Backend(closing_as_reused()) as backend, Backend(backends.ok()) as spare, Rig(replay=replay) as rig:
        rig.serve(backend.url, spare.url if standby else None)
        client = await rig.client()
        assert (await client.ask(raw))[0] == 200
        assert (await client.ask(raw))[0] == status
        assert len(backend.requests) == (2 if status == 200 else 1)
        assert spare.requests == []
    assert rig.scalar(at.L_STALE_CONNECTION) == 1
    assert windows(rig) == (({"ok": 2}, 2, 0) if status == 200 else ({"ok": 1, "truncated": 1}, 1, 1))


async def test_a_connection_closed_in_the_middle_of_an_upload_gets_all_of_it_again() -> None:
    """case 23: what was sent of the body is sent again, and what comes later behind it."""
    async with Backend(closing_as_reused()) as backend, Rig(replay="always") as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(POST))[0] == 200
        await client.send(POST[:-3])
        await until(lambda: rig.scalar(at.L_STALE_CONNECTION))
        assert (await client.ask(POST[-3:]))[0] == 200
        assert [request.body for request in backend.requests] == [b"hello", b"hello"]
    assert windows(rig) == ({"ok": 2}, 2, 0)


class Stuck:
    """A resolver that never answers, so that no new connection comes about."""

    changes = 1

    def known(self, _: str) -> list[str]:
        return []

    async def addresses(self, _: str) -> list[str]:
        await asyncio.Event().wait()
        return []


async def test_a_second_stale_connection_is_not_tried_a_third_time() -> None:
    """case 23: while the retry waits, another request gives its connection back, which ends in the same way."""
    stale, answer = asyncio.Event(), asyncio.Event()

    async def behave(connection: backends.Connection) -> None:
        await connection.read_request()
        if connection.number == 2:
            await answer.wait()
        await connection.send(WHOLE)
        await connection.read_head()
        await stale.wait()
        connection.reset()

    options = replace(OPTIONS, services=(replace(SERVICE, replay="always"),), connect_timeout_s=0.2)
    async with Backend(behave) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        first, second = await rig.client(), await rig.client()
        assert (await first.ask(POST))[0] == 200
        target = rig.data_plane.services[0].targets[0]
        for number, client in enumerate((first, second), 1):
            await client.send(POST)
            await until(lambda number=number: len(target.awaiting_first_byte.since) == number)  # type: ignore[misc]
        rig.context.resolver = Stuck()  # type: ignore[assignment]
        target.pools[0].address = ""
        stale.set()
        await until(lambda: target.pools[0].waiting)
        answer.set()
        assert (await second.response())[0] == 200
        status, head, _ = await first.response()
        assert (status, field(head, b"x-router-error")) == (502, b"upstream_broken")
    assert rig.scalar(at.L_STALE_CONNECTION) == 2
    assert windows(rig) == ({"ok": 2, "truncated": 1}, 2, 1)


async def test_what_is_sent_again_waits_anew_behind_those_that_wait_already() -> None:
    """case 23: the table of waits stays in the order of time, else its sweep would stop too early."""
    stale = asyncio.Event()

    async def behave(connection: backends.Connection) -> None:
        await connection.read_request()
        if connection.number == 1:
            await connection.send(WHOLE)
            await connection.read_head()
            await stale.wait()
            connection.reset()
        await connection.closed()

    async with Backend(behave) as backend, Rig(replay="always") as rig:
        rig.serve(backend.url)
        first, second = await rig.client(), await rig.client()
        assert (await first.ask(POST))[0] == 200
        table = rig.data_plane.services[0].targets[0].awaiting_first_byte.since
        for number, client in enumerate((first, second), 1):
            await client.send(POST)
            await until(lambda number=number: len(table) == number)  # type: ignore[misc]
        began = list(table.values())
        stale.set()
        await until(lambda: len(table) == 2 and backend.connections == 3 and list(table.values()) != began)
        assert list(table.values()) == sorted(table.values())
        for client in (first, second):
            client.reset()


async def test_a_connection_that_ends_after_an_interim_response_is_not_stale() -> None:
    """case 29: 103, then EOF, on a connection in use: the request has been read."""

    async def hint_and_leave(connection: backends.Connection) -> None:
        await connection.read_request()
        await connection.send(WHOLE)
        await connection.read_request()
        await connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")

    async with Backend(hint_and_leave) as backend, Rig(replay="idempotent") as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        await client.send(GET)
        assert (await client.head()).startswith(b"HTTP/1.1 103 ")
        assert (await client.response())[0] == 502
    assert rig.scalar(at.L_STALE_CONNECTION) == 0
    assert windows(rig) == ({"ok": 1, "truncated": 1}, 1, 1)


# -- cases 24 to 26, at every byte
def stalled(raw: bytes, cut: int) -> Behaviour:
    return backends.stall_after(raw, cut)


def closed(raw: bytes, cut: int) -> Behaviour:
    return backends.cut_after(raw, cut)


def reset(raw: bytes, cut: int) -> Behaviour:
    return backends.cut_after(raw, cut, reset=True)


ENDS: dict[str, tuple[Callable[[bytes, int], Behaviour], str, int, Options]] = {
    "case 24 and 25: stalls": (
        stalled,
        "timed_out",
        504,
        replace(OPTIONS, services=(replace(SERVICE, first_byte_timeout_s=0.15, idle_timeout_s=0.15),)),
    ),
    "case 26: closes": (closed, "truncated", 502, OPTIONS),
    "case 26: resets": (reset, "truncated", 502, OPTIONS),
}


@pytest.mark.parametrize("raw", [WHOLE, STREAM], ids=["length", "chunked"])
@pytest.mark.parametrize(("ends", "outcome", "status", "options"), ENDS.values(), ids=ENDS)
async def test_at_every_byte_a_response_may_end(
    ends: Callable[[bytes, int], Behaviour], outcome: str, status: int, options: Options, raw: bytes
) -> None:
    """Before the head is whole: our own 502 or 504. Afterwards: a cut, nothing that looks whole, and still a fault."""

    async def behave(connection: backends.Connection) -> None:
        request = await connection.read_request()
        await ends(raw, int(request.line.split(b" ")[1][1:])).answer(connection, request)  # type: ignore[attr-defined]

    async with Backend(behave) as backend, Rig(replace(options, in_flight_max=500)) as rig:
        rig.serve(backend.url)
        head_end = raw.index(b"\r\n\r\n") + 4

        answers = await asyncio.gather(*(ask_for_cut(rig, cut, cut < head_end) for cut in range(len(raw))))
        for cut, answer in enumerate(answers):
            head, _, body = answer.partition(b"\r\n\r\n")
            if cut < head_end:
                assert head.startswith(b"HTTP/1.1 %d " % status), (cut, answer)
            else:
                assert head.startswith(b"HTTP/1.1 200 "), (cut, answer)
                assert raw[head_end:].startswith(body), (cut, answer)
                assert len(body) < len(raw) - head_end, (cut, answer)
    assert windows(rig) == ({outcome: len(raw)}, len(raw) - head_end, head_end)


async def ask_for_cut(rig: Rig, cut: int, answered: bool) -> bytes:
    """Ask for the response that ends at `cut`; `answered`: the router answers itself, and keeps the connection."""
    client = await rig.client()
    await client.send(b"GET /%d HTTP/1.1\r\nHost: t\r\n\r\n" % cut)
    return await client.head() if answered else await client.rest()


# -- pace
async def test_a_byte_a_time_is_one_response() -> None:
    """A backend of one byte at a time: slow, never silent, so no timeout is its due."""

    async with (
        Backend(backends.drip(STREAM, 0.001)) as backend,
        Rig(first_byte_timeout_s=2.0, idle_timeout_s=0.2) as rig,
    ):
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.head()
        assert await client.exactly(len(STREAM) - STREAM.index(b"\r\n\r\n") - 4) == b"5\r\nhello\r\n0\r\n\r\n"
    assert windows(rig) == ({"ok": 1}, 1, 0)


async def test_as_fast_as_it_can_is_held_to_the_pace_of_the_client() -> None:
    """A backend that sends as fast as the loop takes it: what is between the two is bounded by the buffers."""
    size = 16 << 20

    async def flood(connection: backends.Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        piece = b"x" * (1 << 20)
        for _ in range(size >> 20):
            await connection.send(piece)
        await connection.closed()

    async with Backend(flood) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.head()
        most = taken = 0
        while taken < size:
            taken += len(await asyncio.wait_for(client.reader.read(1 << 20), 5))
            for connection in rig.data_plane.limiter.connections:
                most = max(most, connection.transport.get_write_buffer_size())
        assert taken == size
        assert most <= OPTIONS.buffer_bytes + (1 << 18), "one read of the backend above the mark, no more"
    assert windows(rig) == ({"ok": 1}, 1, 0)


# -- cases 27 and 28: the next client gets its own answer
CANARY = {
    "case 27: 70 kB head": (backends.HUGE_HEAD, "truncated"),
    "case 27: garbage": (backends.GARBAGE, "truncated"),
    "case 27: two lengths": (backends.TWO_LENGTHS, "truncated"),
    "case 28: extra bytes": (WHOLE + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", "ok"),
    "case 28: 204 with a body": (b"HTTP/1.1 204 X\r\nContent-Length: 6\r\n\r\npoison", "ok"),
    "case 28: 304 with a body": (b"HTTP/1.1 304 X\r\nContent-Length: 6\r\n\r\npoison", "ok"),
    "case 29: unasked 101": (backends.UNASKED_SWITCH, "truncated"),
}


@pytest.mark.parametrize(("raw", "outcome"), CANARY.values(), ids=CANARY)
async def test_the_next_client_gets_its_own_answer(raw: bytes, outcome: str) -> None:
    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await until(lambda: rig.attempts())
        backend.behaviour = backends.ok(b"canary")
        for _ in range(3):
            assert (await rig.ask(GET))[2] == b"canary"
        assert backend.connections == 2
    ends = {outcome: 1, "ok": 3} if outcome != "ok" else {"ok": 4}
    assert (rig.attempts(), rig.scalar(at.L_FAULTS_UNBEGUN)) == (ends, 1 if outcome != "ok" else 0)


async def test_a_head_whose_body_comes_late_poisons_nobody() -> None:
    """case 28: HEAD answered with a body in a packet of its own, after the next request was sent: no check of the socket
    could tell it from an answer, so that connection is not used again.
    """
    late = asyncio.Event()

    async def behave(connection: backends.Connection) -> None:
        await connection.read_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n")
        await late.wait()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await connection.closed()

    async with Backend(behave) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n")
        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        backend.behaviour = backends.ok(b"canary")
        await client.send(GET)
        late.set()
        assert (await client.response())[2] == b"canary"
