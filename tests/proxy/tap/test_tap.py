"""What a tap knows when its exchange has ended; and that a service that nobody asks about has none."""

from __future__ import annotations

import pytest

from router.proxy.options import TapOptions
from router.proxy.tap import tap
from router.proxy.tap.body_buffer import PIECE_BYTES
from router.proxy.tap.tap import ExchangeTap, ServiceTap
from router.proxy.tap.tapped import TappedExchange
from router.rollout.outcome import Outcome
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, until

POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
KEEPS = TapOptions(request_bytes_max=64, response_bytes_max=64)
CHUNKED_ANSWER = backends.CHUNKED + backends.chunk(b"tok") + backends.chunk(b"en") + b"0\r\n\r\n"

Told = tuple[str, bytes | None, int | None, bytes | None]


class Listening(ServiceTap):
    """Tells what its service_tap know at the end: outcome, request, status, response."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig.data_plane, rig.data_plane.services[0].options)
        self.told: list[Told] = []
        rig.data_plane.services[0].tap = self

    def begin(self, exchange: TappedExchange) -> ExchangeTap:
        return Talkative(self, exchange)


class Talkative(ExchangeTap):
    def __init__(self, listening: Listening, exchange: TappedExchange) -> None:
        super().__init__(listening, exchange)
        self._told = listening.told

    def ended(self, exchange: TappedExchange, outcome: Outcome) -> None:
        super().ended(exchange, outcome)
        status = self.head.status if self.head else None
        response = self.response.payload() if self.response else None
        self._told.append((outcome.label, self.request.payload(), status, response))


@pytest.mark.parametrize(
    ("request_pieces", "answer", "told"),
    [
        pytest.param([POST], backends.response(), ("ok", b"hello", 200, b"ok"), id="whole in one read"),
        pytest.param([POST[:-3], POST[-3:]], backends.response(), ("ok", b"hello", 200, b"ok"), id="body in two reads"),
        pytest.param(
            [CHUNKED_POST + b"2\r\nhe\r\n", b"3\r\nllo\r\n0\r\n\r\n"],
            CHUNKED_ANSWER,
            ("ok", b"hello", 200, b"token"),
            id="chunked both ways",
        ),
        pytest.param(
            [POST.replace(b"1.1", b"1.0", 1)], CHUNKED_ANSWER, ("ok", b"hello", 200, b"token"), id="HTTP/1.0 unchunked"
        ),
        pytest.param(
            [POST],
            b"HTTP/1.1 500 E\r\nContent-Length: 3\r\n\r\nbad",
            ("server_error", b"hello", 500, b"bad"),
            id="an error of the backend",
        ),
        pytest.param(
            [POST],
            b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n" + b"x" * 80,
            ("ok", b"hello", 200, None),
            id="larger than is kept",
        ),
    ],
)
async def test_it_knows_what_was_asked_and_answered(request_pieces: list[bytes], answer: bytes, told: Told) -> None:
    async with Backend(backends.sending(answer)) as backend, Rig(tap=KEEPS) as rig:
        rig.serve(backend.url)
        listening = Listening(rig)
        client = await rig.client()
        await client.send(request_pieces[0])
        for piece in request_pieces[1:]:
            await rig.has_read(client)
            await client.send(piece)
        await client.head()
        await rig.quiet()
        assert listening.told == [told]


async def test_an_answer_of_ours_has_no_head() -> None:
    async with Rig(tap=KEEPS) as rig:
        listening = Listening(rig)
        assert (await rig.ask(POST))[0] == 503
        assert listening.told == [("refused", b"hello", None, None)]


async def test_who_asks_nothing_has_no_witness() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert rig.data_plane.services[0].tap is None
        assert (await rig.ask(POST))[0] == 200


async def test_chunks_that_are_ours_are_not_in_it() -> None:
    raw = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close"
    async with Backend(backends.cut_after(raw, len(raw))) as backend, Rig(tap=KEEPS) as rig:
        rig.serve(backend.url)
        listening = Listening(rig)
        client = await rig.client()
        await client.send(POST)
        await client.head()
        assert await client.exactly(21) == b"b\r\nuntil close\r\n0\r\n\r\n"
        assert listening.told == [("ok", b"hello", 200, b"until close")]


async def test_what_all_keep_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "KEPT_BYTES_MAX", 2 * PIECE_BYTES)
    async with Backend(backends.never()) as backend, Rig(tap=KEEPS) as rig:
        rig.serve(backend.url)
        listening = Listening(rig)
        clients = [await rig.client(), await rig.client()]
        await clients[0].send(POST)
        await until(lambda: len(backend.requests) == 1)
        await clients[1].send(POST)
        await until(lambda: len(backend.requests) == 2)
        assert listening.kept_bytes == 5 + PIECE_BYTES, "of the second one nothing is kept"
        for client in clients:
            client.reset()
        await until(lambda: len(listening.told) == 2)
        assert sorted(told[1] or b"" for told in listening.told) == [b"", b"hello"]
        assert listening.kept_bytes == 0
