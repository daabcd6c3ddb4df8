"""What clients break, cases 1 to 20 of the catalogue (tests/fault_catalogue.py): the answer, and that no window sees it.

Class C: counted as the client's, never as a fault of a version. That all is quiet afterwards is asked by the rig itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from router.rollout.outcome import FAULTS
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Client, Rig, until
from tests.proxy.waiting import turns

GET = b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
SMALL = replace(OPTIONS, head_bytes_max=600, fields_max=20, body_bytes_max=100, trailer_bytes_max=200)


def faults(rig: Rig) -> int:
    """Return what the windows count against the versions: none of it may come from a client."""
    return sum(rig.scalar(at.L_OUTCOMES + outcome, slot) for outcome in FAULTS for slot in (0, 1))


def unmatched(rig: Rig) -> int:
    return rig.worker_stats.unmatched()[0]


@dataclass(frozen=True)
class Refused:
    """`counted`: how the exchange ended; `early`: it is refused before a service is known, and counted there."""

    raw: bytes
    statuses: tuple[int, ...] = (400,)
    served: int = 0
    early: bool = True
    attempts: dict[str, int] = field(default_factory=dict)


def start(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((line, *fields, b"", b""))


REFUSED = {
    "case 1: CL and TE": Refused(
        start(b"POST / HTTP/1.1", b"Host: t", b"Content-Length: 5", b"Transfer-Encoding: chunked")
    ),
    "case 2: two lengths": Refused(start(b"POST / HTTP/1.1", b"Host: t", b"Content-Length: 5", b"Content-Length: 6")),
    "case 3: unknown coding": Refused(start(b"POST / HTTP/1.1", b"Host: t", b"Transfer-Encoding: gzip"), (400, 501)),
    "case 4: 1.0 with TE": Refused(start(b"POST / HTTP/1.0", b"Host: t", b"Transfer-Encoding: chunked")),
    "case 4: HTTP/0.9": Refused(b"GET /\r\n"),
    "case 4: HTTP/2.0": Refused(start(b"GET / HTTP/2.0", b"Host: t"), (505,)),
    "case 4: HTTP/1.1x": Refused(start(b"GET / HTTP/1.1x", b"Host: t")),
    "case 5: space before colon": Refused(start(b"GET / HTTP/1.1", b"Host: t", b"X : y")),
    "case 5: folded": Refused(start(b"GET / HTTP/1.1", b"Host: t", b"X: y", b" z")),
    "case 6: bare LF": Refused(b"GET / HTTP/1.1\nHost: t\n\n"),
    "case 6: NUL": Refused(start(b"GET / HTTP/1.1", b"Host: t", b"X: \x00")),
    "case 7: no Host": Refused(start(b"GET / HTTP/1.1", b"X: y")),
    "case 7: two Hosts": Refused(start(b"GET / HTTP/1.1", b"Host: t", b"Host: u")),
    "case 8: size 0x5": Refused(CHUNKED + b"0x5\r\n", early=False),
    "case 8: 17 digits": Refused(CHUNKED + b"00000000000000005\r\n", early=False),
    "case 8: no CRLF behind data": Refused(CHUNKED + b"5\r\nhelloXX", early=False),
    "case 8: endless extension": Refused(CHUNKED + b"5;a=" + b"b" * 100_000, early=False),
    "case 8: endless trailers": Refused(CHUNKED + b"0\r\n" + b"X: y\r\n" * 100, early=False),
    "case 9: line": Refused(b"GET /" + b"a" * 700, (414,)),
    "case 9: field": Refused(b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"a" * 700, (431,)),
    "case 9: fields": Refused(start(b"GET / HTTP/1.1", b"Host: t", *(b"X: y",) * 20), (431,)),
    "case 10: declared": Refused(start(b"POST / HTTP/1.1", b"Host: t", b"Content-Length: 101"), (413,)),
    "case 10: by chunks": Refused(CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n1\r\n", (413,), early=False),
    "case 12: two valid, then garbage": Refused(GET + POST + b"GARBAGE\r\n\r\n", served=2, attempts={"ok": 2}),
    "case 17: CONNECT": Refused(start(b"CONNECT t:1 HTTP/1.1", b"Host: t:1"), (400, 405, 501)),
    "case 17: TRACE": Refused(start(b"TRACE / HTTP/1.1", b"Host: t"), (405, 501)),
    "case 17: GET *": Refused(start(b"GET * HTTP/1.1", b"Host: t")),
    "case 17: PRI": Refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    "case 20: fragment": Refused(start(b"GET /a#b HTTP/1.1", b"Host: t")),
}


@pytest.mark.parametrize("pieces", ["one read", "byte by byte"])
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
async def test_refused_by_us_and_in_no_window(case: Refused, pieces: str) -> None:
    if pieces == "byte by byte" and len(case.raw) > 1000:
        pieces = "one read"  # 100 kB in single reads would take a second
    async with Backend(backends.ok()) as backend, Rig(SMALL) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        if pieces == "one read":
            await client.send(case.raw)
        else:
            for at_byte in range(len(case.raw)):
                client.writer.write(case.raw[at_byte : at_byte + 1])
                await turns()
        for _ in range(case.served):
            assert (await client.response())[0] == 200
        assert (await client.response())[0] in case.statuses
        assert await client.rest() == b""
        assert len(backend.requests) == case.served
    assert faults(rig) == 0
    if case.early:
        assert (unmatched(rig), rig.attempts()) == (1, case.attempts)
    else:
        assert (unmatched(rig), rig.exchanges()) == (0, {"refused": 1})
        assert set(rig.attempts()) <= {"client_gone"}  # claimed, if a part of it had gone upstream


# -- case 13
async def before_head(rig: Rig, backend: Backend) -> Client:
    client = await rig.client()
    await client.send(GET[:9])
    await until(lambda: rig.context.header_wait.since)
    return client


async def in_body(rig: Rig, backend: Backend) -> Client:
    client = await rig.client()
    await client.send(POST[:-2])
    await until(lambda: backend.open)
    return client


async def waiting(rig: Rig, backend: Backend) -> Client:
    backend.behaviour = backends.never()
    client = await rig.client()
    await client.send(POST)
    await until(lambda: backend.requests)
    return client


async def mid_stream(rig: Rig, backend: Backend) -> Client:
    raw = backends.CHUNKED + backends.chunk(b"token")
    backend.behaviour = backends.stall_after(raw, len(raw))
    client = await rig.client()
    await client.send(POST)
    await client.head()
    return client


RESETS: dict[str, tuple[Callable[[Rig, Backend], Awaitable[Client]], int | None, int]] = {
    "case 13: client resets before head": (before_head, None, 0),
    "case 13: client resets in body": (in_body, 499, 0),
    "case 13: client resets while waiting": (waiting, 499, 1),
    "case 13: client resets mid-stream": (mid_stream, 200, 0),
}


@pytest.mark.parametrize(("come_to", "logged", "censored"), RESETS.values(), ids=RESETS)
async def test_a_client_that_resets_cancels_upstream_at_once(
    come_to: Callable[[Rig, Backend], Awaitable[Client]],
    logged: int | None,
    censored: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`censored`: its wait so far is kept as a sample of its own, which only the hang trigger and the objective look at."""
    caplog.set_level(logging.INFO, "router.access")
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, access_log=True)) as rig:
        rig.serve(backend.url)
        client = await come_to(rig, backend)
        client.reset()
        await until(lambda: not backend.open and not rig.data_plane.limiter.connections, within_s=0.1)
        assert all(pool._idle == type(pool._idle)() for pool in rig.data_plane.services[0].targets[0].pools)
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "router.access"]
    assert [(line["status"], line["outcome"]) for line in lines] == ([(logged, "client_gone")] if logged else [])
    assert rig.attempts() == rig.exchanges() == ({"client_gone": 1} if logged else {})
    assert faults(rig) == 0
    assert sum(rig.worker_stats.slot_histogram(0, 0, at.L_ABANDONED)) == censored


async def test_slow_clients_hold_nobody_up_and_end_by_their_deadline() -> None:
    """case 11: slowloris: heads and bodies that never end.

    `tests/proxy/engine/test_attempt.py` and `test_flow_control.py` have slow readers.
    """
    options = replace(
        OPTIONS,
        header_timeout_s=30.0,
        body_timeout_s=30.0,
        connections_max=1000,
        in_flight_max=1000,
        connect_waits_max=1000,
    )
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        probe = await rig.client()
        assert (await probe.ask(GET))[0] == 200  # from here on it is idle, and waits for no head
        slow = [await rig.client() for _ in range(200)]
        for number, client in enumerate(slow):
            client.writer.write((GET[:-5], POST[:-1])[number % 2])
        await until(lambda: len(rig.context.header_wait.since) + len(rig.context.body_wait.since) == len(slow))
        for _ in range(50):
            assert (await probe.ask(GET))[0] == 200
        rig.context.header_wait.duration_s = rig.context.body_wait.duration_s = 0.01
        statuses = [(await client.response())[0] for client in slow]
        assert set(statuses) == {408}
        assert (await probe.ask(GET))[0] == 200
    assert (unmatched(rig), rig.attempts()) == (100, {"ok": 52, "client_gone": 100})
    assert faults(rig) == 0


EXPECTING = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


async def test_who_waits_for_no_100_is_served_all_the_same() -> None:
    """case 15: the backend says 100 late, the client sends its body meanwhile (RFC 9110 §10.1.1)."""
    async with Backend(backends.continuing(after_s=0.05)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(EXPECTING + b"hello")
        interim = await client.head()
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.response())[0] == 200
        assert backend.requests[0].body == b"hello"
    assert rig.attempts() == {"ok": 1}


async def test_a_body_that_nobody_asked_for_is_not_sent_after_a_final_answer() -> None:
    """case 15: an answer before the body: neither connection is used again, and the rest of the body reaches nobody."""
    async with Backend(backends.early(backends.response(200, b"no need"), then_close=False)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(EXPECTING)
        assert (await client.response())[2] == b"no need"
        await client.send(b"hello")
        assert await client.rest() == b""
        await until(lambda: not backend.open)
        assert backend.connections == 1
    assert rig.attempts() == {"ok": 1}


async def test_the_admin_is_not_reachable_from_the_data_port() -> None:
    """case 20: whatever the path: it is the backend's."""
    async with Backend(backends.ok(b"the backend's")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for path in (b"/v1/status", b"/metrics", b"/livez", b"/-/ready/../../v1/status", b"/-/ready%2f", b"//-/ready"):
            assert (await client.ask(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % path))[2] == b"the backend's"
        assert [request.line.split(b" ")[1] for request in backend.requests][3:] == [
            b"/-/ready/../../v1/status",
            b"/-/ready%2f",
            b"//-/ready",
        ]


async def test_fields_above_0x7f_pass_byte_for_byte_in_both_directions() -> None:
    """trap 6: nothing is decoded."""
    value = bytes(range(0x80, 0x100))
    async with Backend(
        backends.sending(b"HTTP/1.1 200 OK\r\nX-Y: " + value + b"\r\nContent-Length: 0\r\n\r\n")
    ) as backend:
        async with Rig() as rig:
            rig.serve(backend.url)
            _, head, _ = await rig.ask(b"GET / HTTP/1.1\r\nHost: t\r\nX-Y: " + value + b"\r\n\r\n")
            assert b"\r\nX-Y: " + value + b"\r\n" in head
            assert b"\r\nX-Y: " + value + b"\r\n" in backend.requests[0].head
