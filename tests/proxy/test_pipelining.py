"""Clients that send without end: what is held of it is bounded, and in each turn of the loop others come first."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from router.proxy.data_plane import DataPlane
from router.proxy.engine import flow_control
from router.proxy.http1 import request_head
from router.proxy.http1.chunked import LINES_PER_STEP
from router.tls.contexts import ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.accept.test_tls_acceptor import secured
from tests.proxy.late_reader import reading_late
from tests.proxy.recorder import Recorder, Wire
from tests.proxy.rig import OPTIONS, Rig, until
from tests.proxy.waiting import turns

READ_BYTES = 256_000
"""What uvloop reads at once."""
GET = b"GET /%07d HTTP/1.1\r\nHost: a\r\n\r\n"
READY = b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n"
KINDS = {
    "requests": GET % 1,
    "local answers": READY,
    "bodies": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\n" + b"x" * 200,
    "chunks": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50 + b"0\r\n\r\n",
    "empty lines": b"\r\n\r\n" + GET % 1,
}


class Source(Wire):
    """A client whose bytes arrive only while it is read; `held` is what the router keeps of them."""

    def __init__(self, data_plane: DataPlane) -> None:
        self.reading = True
        self.most_held = 0
        super().__init__(data_plane)

    @property
    def held(self) -> int:
        return len(self.protocol.buffer) - self.protocol.at

    def write(self, data: bytes) -> None:
        if not self.closed:  # as uvloop's transports, which drop what is written to one that was closed
            super().write(data)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    async def pour(self, data: bytes, read_bytes: int = READ_BYTES) -> None:
        """Let it arrive in reads of that size, as fast as it is read."""
        at = 0
        while at < len(data) and not self.over:
            while self.reading and at < len(data) and not self.over:
                self.feed(data[at : at + read_bytes])
                at += read_bytes
                self.most_held = max(self.most_held, self.held)
            await turns()

    def answers(self) -> int:
        return self.written.count(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("read_bytes", [READ_BYTES, 20_000], ids=["large reads", "small reads"])
async def test_what_is_held_of_a_client_that_pipelines_is_bounded(raw: bytes, read_bytes: int) -> None:
    number = 600_000 // len(raw)
    async with Recorder() as backend, Rig() as rig:
        rig.serve(backend.url)
        source = Source(rig.data_plane)
        pouring = asyncio.ensure_future(source.pour(raw * number, read_bytes))
        await until(lambda: source.most_held > OPTIONS.buffer_bytes)
        assert source.most_held <= OPTIONS.buffer_bytes + read_bytes
        source.leave()
        await pouring
        assert source.most_held <= OPTIONS.buffer_bytes + read_bytes


async def test_every_pipelined_request_is_answered_in_order_and_none_is_copied_again() -> None:
    number = 2000
    async with Backend(backends.echo()) as backend, Rig() as rig:
        rig.serve(backend.url)
        source = Source(rig.data_plane)
        held = set()
        pouring = asyncio.ensure_future(source.pour(b"".join(GET % n for n in range(number))))
        while source.answers() < number:
            held.add(id(source.protocol.buffer))
            await turns()
        await pouring
        assert len(held) <= 3, "what waits stays where it is"
        paths = [line.split(b" ")[1] for line in source.written.split(b"\r\n") if line.startswith(b"GET /")]
        assert paths == [b"/%07d" % n for n in range(number)]
        assert source.reading
        source.leave()


@pytest.mark.parametrize("connections", [1, 20])
async def test_in_each_turn_of_the_loop_one_pipelined_request_is_begun(connections: int) -> None:
    async with Rig() as rig:
        rig.serve("http://127.0.0.1:9")
        sources = [Source(rig.data_plane) for _ in range(connections)]
        for source in sources:
            source.feed(READY * 30)
        begun = answered = sum(source.written.count(b"HTTP/1.1 ") for source in sources)
        assert begun == connections, "the first of each needs no turn"
        for turn in range(1, 20):
            await turns()
            answered = sum(source.written.count(b"HTTP/1.1 ") for source in sources)
            assert answered <= begun + turn + 1
        assert answered > begun
        other = Source(rig.data_plane)
        other.feed(READY)
        assert other.written.count(b"HTTP/1.1 ") == 1, "who does not pipeline waits for nobody"
        for source in (*sources, other):
            source.leave()


async def test_a_client_that_takes_no_answers_is_begun_no_further_request_and_read_no_further() -> None:
    async with Rig() as rig:
        rig.serve("http://127.0.0.1:9")
        source = Source(rig.data_plane)
        source.protocol.pause_writing()
        source.feed(READY * 3000)
        await turns(10)
        assert source.written == b""
        assert not source.reading
        source.protocol.resume_writing()
        assert not source.reading, "more is held than may be"
        await until(lambda: source.reading)
        assert source.held <= OPTIONS.buffer_bytes
        source.leave()


async def test_a_backend_that_catches_up_does_not_let_a_full_buffer_be_read() -> None:
    async with Recorder() as backend, Rig() as rig:
        rig.serve(backend.url)
        source = Source(rig.data_plane)
        source.feed(KINDS["bodies"] + GET % 1 * 5000)
        assert not source.reading
        flow_control.resume_body(source.protocol)
        assert not source.reading
        source.leave()


async def test_a_large_read_is_followed_by_another_one_in_another_turn() -> None:
    async with Recorder() as backend, Rig() as rig:
        rig.serve(backend.url)
        sources = [Source(rig.data_plane) for _ in range(2)]
        for source in sources:
            source.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        await until(lambda: all(source.protocol.exchange.upstream for source in sources))
        for source in sources:
            source.feed(b"x" * 1000)
            assert source.reading, "a small read costs nobody anything"
            source.feed(b"x" * READ_BYTES)
            assert not source.reading
        seen = []
        while not all(source.reading for source in sources):
            await turns()
            seen.append([source.reading for source in sources].count(True))
        assert set(itertools.pairwise([0, *seen])) <= {(0, 0), (0, 1), (1, 1), (1, 2)}, "one in each turn"
        for source in sources:
            source.leave()


async def test_tiny_chunks_are_read_some_in_each_turn_and_an_end_behind_them_loses_nothing() -> None:
    number = LINES_PER_STEP * 20
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * number + b"0\r\n\r\n"
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        source = Source(rig.data_plane)
        source.feed(raw)
        left = [source.held]
        while source.held:
            await turns()
            left.append(source.held)
        assert max(a - b for a, b in itertools.pairwise(left)) <= 6 * LINES_PER_STEP
        await until(lambda: source.answers() == 1)
        source.leave()
        client = await rig.client()
        client.writer.write(raw)
        client.writer.write_eof()
        assert (await client.response())[0] == 200
        assert [request.body for request in backend.requests] == [b"1\r\nx\r\n" * number + b"0\r\n\r\n"] * 2


async def test_chunks_that_wait_for_their_turn_wait_for_the_backend_as_well() -> None:
    raw = b"1\r\nx\r\n" * (LINES_PER_STEP * 10)
    let_through = asyncio.Event()
    async with Backend(reading_late(let_through)) as backend, Rig() as rig:
        rig.serve(backend.url)
        source = Source(rig.data_plane)
        source.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await until(lambda: source.protocol.exchange.upstream)
        flow_control.pause_body(source.protocol)
        source.feed(raw)
        held = source.held
        await turns(20)
        assert source.held == held
        assert not source.reading
        flow_control.resume_body(source.protocol)
        await until(lambda: source.held == 0 and source.reading)
        source.feed(b"0\r\n\r\n")
        let_through.set()
        await until(lambda: source.answers() == 1)
        assert backend.requests[0].body == raw + b"0\r\n\r\n"
        source.leave()


async def test_a_head_that_comes_byte_by_byte_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    search = request_head.can_never_be_valid

    def counted(data: bytes, start: int = 0) -> bool:
        looked.append(len(data) - start)
        return search(data, start)

    monkeypatch.setattr(request_head, "can_never_be_valid", counted)
    raw = b"\r\nGET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 3000 + b"\r\n\r\n"
    async with Recorder() as backend, Rig() as rig:
        rig.serve(backend.url)
        source = Source(rig.data_plane)
        source.feed(*(raw[at : at + 1] for at in range(len(raw))))
        assert max(looked) <= 4
        await until(lambda: source.answers() == 1)
        source.leave()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_flood_over_a_real_connection_is_bounded_and_others_are_served(tls: bool, tmp_path: Any) -> None:
    authority = CertificateAuthority(tmp_path)
    context = authority.client() if tls else None
    async with Backend(backends.ok()) as backend, secured(ServerTls(authority.pair())) if tls else Rig() as rig:
        rig.serve(backend.url)
        flood = await rig.client(context)
        await until(lambda: rig.data_plane.limiter.connections)
        (protocol,) = rig.data_plane.limiter.connections
        other = await rig.client(context)
        flood.writer.write(READY * 60_000)
        most = 0
        for _ in range(50):
            assert (await other.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0] == 200
            most = max(most, len(protocol.buffer) - protocol.at)
        assert OPTIONS.buffer_bytes < most <= OPTIONS.buffer_bytes + READ_BYTES
        flood.reset()


async def test_pieces_of_a_body_that_may_be_sent_again_count_with_what_they_cost() -> None:
    async with Recorder() as backend, Rig(replay="always") as rig:
        rig.serve(backend.url)
        source = Source(rig.data_plane)
        source.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        await until(lambda: source.protocol.exchange.upstream)
        number = OPTIONS.replay_bytes_max // 65 + 1
        source.feed(*([b"x"] * (number - 10)))
        assert source.protocol.exchange.body
        source.feed(*([b"x"] * 11))
        assert source.protocol.exchange.body is None
        source.leave()


async def test_large_answers_and_tunnels_take_turns_as_well() -> None:
    asked: list[str] = []

    class Spy:
        def __init__(self, queue: Any) -> None:
            self._queue = queue

        def enqueue(self, connection: Any) -> None:
            asked.append(type(connection).__name__)
            self._queue.enqueue(connection)

    size = 8 << 20
    async with Backend(backends.sending(backends.response(200, b"x" * size))) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.context.fair_queue = Spy(rig.context.fair_queue)  # type: ignore[assignment]
        assert len((await rig.ask(GET % 1))[2]) == size
        assert set(asked) == {"Upstream"}
