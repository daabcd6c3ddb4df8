"""A request that is not what the service takes is answered here, before it is claimed; any other arrives as it came."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest

from router.proxy.options import ValidationOptions
from router.proxy.tap import validation
from router.proxy.tap.body_buffer import PIECE_BYTES
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, SERVICE, Rig, field, until
from tests.proxy.validators import BAD, GOOD, REQUESTS, buffered_bytes, chunked, post, validated
from tests.texts import golden

WRONG = 'the request is not what default takes: the value is not of type "number" at /inputs/1'
BROKE = "a validator of service=default broke: RuntimeError: bug"
LARGE = b'{"inputs": [' + b"1, " * 40 + b'"x"]}'


@pytest.mark.parametrize(
    ("path", "document"),
    [
        pytest.param("/v2/models/a/infer", {"error": WRONG, "code": "request_invalid_schema"}, id="Open Inference"),
        pytest.param(
            "/v1/completions",
            {
                "error": {
                    "message": WRONG,
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "request_invalid_schema",
                }
            },
            id="OpenAI",
        ),
        pytest.param(
            "/infer",
            {
                "type": "about:blank",
                "title": "Unprocessable Content",
                "status": 422,
                "detail": WRONG,
                "code": "request_invalid_schema",
            },
            id="problem",
        ),
    ],
)
async def test_what_the_client_is_told(path: str, document: dict[str, object]) -> None:
    async with Backend(backends.ok()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        status, head, body = await rig.ask(post(BAD, path))
        told = json.loads(body)
        told.get("error", told) if "request_id" not in told else told
        (told["error"] if path == "/v1/completions" else told).pop("request_id")
        assert (status, field(head, b"x-router-error"), told) == (422, b"request_invalid_schema", document)
        assert field(head, b"connection") is None
        assert (backend.requests, rig.attempts(), rig.exchanges()) == ([], {}, {"refused": 1})
        assert validated(rig) == {"request.schema": 1}


@pytest.mark.parametrize(
    ("pieces", "status", "counted"),
    [
        pytest.param([post(GOOD)], 200, "request.ok", id="whole in one read"),
        pytest.param([post(GOOD)[:-5], GOOD[-5:]], 200, "request.ok", id="in two reads"),
        pytest.param([post(BAD)[:-5], BAD[-5:]], 422, "request.schema", id="refused in two reads"),
        pytest.param([b"".join(chunked(GOOD))], 200, "request.ok", id="chunked in one read"),
        pytest.param(chunked(GOOD[:3], GOOD[3:]), 200, "request.ok", id="chunked in many reads"),
        pytest.param(chunked(BAD[:3], BAD[3:]), 422, "request.schema", id="refused in chunks"),
        pytest.param([post(b"")], 422, "request.json", id="empty"),
        pytest.param([post(b"{")], 422, "request.json", id="no JSON"),
        pytest.param([post(LARGE)[:-9], LARGE[-9:]], 200, "request.unchecked_large", id="too large"),
        pytest.param([post(LARGE)], 200, "request.unchecked_large", id="too large in one read"),
        pytest.param(chunked(LARGE[:50], LARGE[50:]), 200, "request.unchecked_large", id="too large in chunks"),
        pytest.param(
            [post(BAD, "/infer", "Content-Type: application/octet-stream")],
            200,
            "request.unchecked_type",
            id="another type",
        ),
        pytest.param(
            [post(BAD, "/infer", "Content-Type: application/vnd.x+json; charset=utf-8")],
            422,
            "request.schema",
            id="a JSON type",
        ),
        pytest.param(
            [post(BAD, "/infer", "Content-Encoding: gzip")], 200, "request.unchecked_encoded", id="compressed"
        ),
        pytest.param([post(BAD).replace(b"POST", b"PUT")], 200, None, id="another method"),
    ],
)
async def test_what_passes_and_what_is_refused(pieces: list[bytes], status: int, counted: str | None) -> None:
    async with Backend(backends.ok()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(pieces[0])
        for piece in pieces[1:]:
            await rig.has_read(client)
            await client.send(piece)
        assert (await client.response())[0] == status
        assert validated(rig) == ({counted: 1} if counted else {})
        assert buffered_bytes(rig) == 0
        arrived = [request.body for request in backend.requests]
        whole = b"".join(pieces)
        assert arrived == ([whole[whole.index(b"\r\n\r\n") + 4 :]] if status == 200 else [])
        assert (await client.ask(post(GOOD)))[0] == 200, "the connection goes on"


async def test_only_these_paths() -> None:
    only = replace(REQUESTS, paths=(b"/v2/models/a",))
    async with Backend(backends.ok()) as backend, Rig(validation=only) as rig:
        rig.serve(backend.url)
        paths = ("/v2/models/a", "/v2/models/a/infer?x", "/v2/models/ab", "/v1")
        assert [(await rig.ask(post(BAD, path)))[0] for path in paths] == [422, 422, 200, 200]


async def test_a_get_without_a_body_has_nothing_to_check() -> None:
    async with Backend(backends.ok()) as backend, Rig(validation=replace(REQUESTS, methods=frozenset({b"GET"}))) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(b"GET /infer HTTP/1.1\r\nHost: t\r\n\r\n"))[0] == 200
        assert (await rig.ask(post(BAD).replace(b"POST", b"GET", 1)))[0] == 422


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with Backend(backends.echo()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(post(BAD) + b"".join(chunked(GOOD)) + post(BAD) + post(GOOD))
        assert [(await client.response())[0] for _ in range(4)] == [422, 200, 422, 200]


async def test_who_waits_for_a_100_gets_one() -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + backends.response()
    async with Backend(backends.sending(answer)) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(post(GOOD, "/infer", "Expect: 100-continue")[: -len(GOOD)])
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert backend.requests == []
        status, _, _ = await client.ask(GOOD)
        assert status == 200, "and no second 100"
        await client.send(post(BAD, "/infer", "Expect: 100-continue")[: -len(BAD)])
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(BAD))[0] == 422


async def test_what_all_requests_hold_is_bounded() -> None:
    bounded = replace(REQUESTS, request_bytes_held_max=70 + PIECE_BYTES)
    async with Backend(backends.ok()) as backend, Rig(validation=bounded) as rig:
        rig.serve(backend.url)
        first, second = await rig.client(), await rig.client()
        body = b'{"inputs": ["' + b"x" * 45
        await first.send(post(body + b'"]}')[:-3])
        await until(lambda: buffered_bytes(rig) == len(body) + PIECE_BYTES)
        await second.send(post(body + b'"]}')[:-3])
        await until(lambda: validated(rig) == {"request.unchecked_full": 1})
        assert (await second.ask(b'"]}'))[0] == 200
        assert buffered_bytes(rig) == len(body) + PIECE_BYTES
        assert (await first.ask(b'"]}'))[0] == 422


def _holds(rig: Rig, wanted: int) -> bool:
    return buffered_bytes(rig) == wanted


async def test_a_body_in_small_pieces_is_held_for_what_it_costs() -> None:
    bounded = replace(REQUESTS, request_bytes_held_max=3 * PIECE_BYTES)
    async with Backend(backends.ok()) as backend, Rig(validation=bounded) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        request = post(GOOD)
        await client.send(request[: -len(GOOD)])
        for pieces in (1, 2):
            await client.send(GOOD[2 * pieces - 2 : 2 * pieces])
            await until(partial(_holds, rig, 2 * pieces + pieces * PIECE_BYTES))
        await client.send(GOOD[4:6])
        await until(lambda: validated(rig) == {"request.unchecked_full": 1})
        await client.send(GOOD[6:])
        assert (await client.response())[0] == 200
        assert (validated(rig), buffered_bytes(rig)) == ({"request.unchecked_full": 1}, 0)
        assert [request.body for request in backend.requests] == [GOOD]


async def test_a_client_that_stops_is_late_as_ever() -> None:
    options = replace(OPTIONS, services=(replace(SERVICE, validation=REQUESTS),), body_timeout_s=0.15)
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(post(GOOD)[:-5])
        assert (await client.response())[0] == 408
        assert (rig.exchanges(), buffered_bytes(rig), backend.requests) == ({"refused": 1}, 0, [])


async def test_a_client_that_leaves_is_gone_and_nothing_is_held() -> None:
    async with Backend(backends.ok()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(post(GOOD)[:-5])
        await until(lambda: buffered_bytes(rig))
        client.reset()
        await until(lambda: rig.exchanges() == {"client_gone": 1})
        assert (buffered_bytes(rig), rig.attempts()) == (0, {})


async def test_a_broken_chunk_is_refused_as_ever() -> None:
    async with Backend(backends.ok()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"".join(chunked(GOOD)[:2]) + b"zz\r\n")
        assert (await client.response())[0] == 400
        assert (buffered_bytes(rig), backend.requests) == (0, [])


async def test_what_is_held_at_the_end_is_cut() -> None:
    async with Backend(backends.ok()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(post(GOOD)[:-5])
        await until(lambda: buffered_bytes(rig))
        for downstream in list(rig.data_plane.limiter.connections):
            downstream.abort()
        await until(lambda: rig.exchanges() == {"cut": 1})
        assert buffered_bytes(rig) == 0


async def test_what_was_held_is_claimed_by_the_route_of_that_moment_and_may_be_rescued() -> None:
    async with Backend(backends.ok()) as old, Backend(backends.echo()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(old.url)
        client = await rig.client()
        await client.send(post(GOOD)[:-5])
        await until(lambda: buffered_bytes(rig))
        rig.fill(1, "v2", "http://127.0.0.1:9")
        rig.fill(2, "v3", backend.url)
        rig.route(1, 2, wake=False)
        status, _, body = await client.ask(GOOD[-5:])
        assert (status, body.partition(b"\r\n\r\n")[2]) == (200, GOOD)
        assert (rig.attempts(0), rig.attempts(1), rig.attempts(2)) == ({}, {"connect_failed": 1}, {"ok": 1})


async def test_without_what_it_needs_it_goes_on_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    broken = ValidationOptions(request_schema='{"type": "objekt"}')
    async with Backend(backends.ok()) as backend, Rig(validation=broken) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(post(BAD)))[0] == 200
        assert validated(rig) == {"request.fault": 1}
        assert golden("validator.unusable_schema") in caplog.text
        caplog.clear()


async def test_a_bug_of_ours_breaks_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(validation, "request_complaint", broken)
    async with Backend(backends.ok()) as backend, Rig(validation=REQUESTS) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(post(BAD)))[0] == 200
        assert (validated(rig), rig.exchanges()) == ({"request.fault": 1}, {"ok": 1})
    assert [record.getMessage() for record in caplog.records] == [BROKE]
    caplog.clear()


async def test_other_settings_hold_from_then_on() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(post(BAD)))[0] == 200
        rig.data_plane.reconfigure(replace(OPTIONS, services=(replace(SERVICE, validation=REQUESTS),)))
        assert (await client.ask(post(BAD)))[0] == 422
        rig.data_plane.reconfigure(OPTIONS)
        assert (await client.ask(post(BAD)))[0] == 200
