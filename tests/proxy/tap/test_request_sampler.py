"""Some request bodies reach the ring for control: whole ones, so many a second, and nothing else keeps them."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from router.proxy.options import InputOptions, TapOptions, ValidationOptions
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, until
from tests.proxy.validators import BAD, GOOD, REQUESTS, chunked, post

ALL = InputOptions(samples_per_s=1e6, body_bytes_max=64)


def samples(rig: Rig) -> list[bytes]:
    return [capture.payload for capture in CaptureRing(rig.segment, 0, at.CAPTURE_INPUTS).read()]


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        pytest.param([post(GOOD)], [GOOD], id="whole in one read"),
        pytest.param([post(GOOD)[:-5], GOOD[-5:]], [GOOD], id="in two reads"),
        pytest.param(chunked(GOOD[:3], GOOD[3:]), [GOOD], id="without its chunks"),
        pytest.param([post(b"x" * 64)], [b"x" * 64], id="as large as may be"),
        pytest.param([post(b"x" * 65)], [], id="too large"),
        pytest.param([post(b"")], [], id="empty"),
        pytest.param([post(GOOD).replace(b"POST", b"PUT", 1)], [], id="not covered"),
    ],
)
async def test_what_is_a_sample(pieces: list[bytes], kept: list[bytes]) -> None:
    async with Backend(backends.ok()) as backend, Rig(inputs=ALL) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(pieces[0])
        for piece in pieces[1:]:
            await rig.has_read(client)
            await client.send(piece)
        assert (await client.response())[0] == 200
        await until(lambda: rig.exchanges() == {"ok": 1})
        assert samples(rig) == kept


async def test_what_the_schema_refuses_is_one_too() -> None:
    async with Rig(inputs=ALL, validation=REQUESTS) as rig:
        assert (await rig.ask(post(BAD)))[0] == 422
        assert samples(rig) == [BAD]


async def test_a_body_that_did_not_end_is_none() -> None:
    async with Backend(backends.ok()) as backend, Rig(inputs=ALL) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(post(GOOD)[:-5])
        await until(lambda: any(target.in_flight for target in rig.data_plane.services[0].targets.values()))
        client.reset()
        await until(lambda: rig.exchanges() == {"client_gone": 1})
        assert samples(rig) == []


async def test_so_many_a_second() -> None:
    async with Backend(backends.ok()) as backend, Rig(inputs=replace(ALL, samples_per_s=0.01)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(5):
            await client.ask(post(GOOD))
        assert samples(rig) == [GOOD]


@pytest.mark.parametrize("may_be_kept", [False, True])
async def test_bodies_that_cases_may_not_keep_are_kept_for_nothing_else(may_be_kept: bool) -> None:
    """What a validator or a statistic needs goes when it was looked at: `cases.bodies` is another decision."""
    checked = ValidationOptions(response_json=True)
    tap = TapOptions(64, 64) if may_be_kept else TapOptions()
    kept = {"tap": tap, "captured_headers": frozenset[bytes]()}
    async with Backend(backends.ok(b'{"x": 1}')) as backend, Rig(inputs=ALL, validation=checked, **kept) as rig:
        rig.serve("http://127.0.0.1:9", backend.url)
        assert (await rig.ask(post(GOOD)))[0] == 200
        await until(lambda: rig.exchanges() == {"ok": 1})
        (capture,) = CaptureRing(rig.segment, 0, at.CAPTURE_FAILURES).read()
        told, _, bodies = capture.payload.partition(b"\n")
        assert bodies == (GOOD + b'{"x": 1}' if may_be_kept else b"")
        assert orjson.loads(told)["response_whole"] is may_be_kept
        assert samples(rig) == [GOOD]


async def test_an_invalid_answer_is_kept_as_a_whole_one() -> None:
    kept = {"tap": TapOptions(64, 64), "captured_headers": frozenset[bytes]()}
    async with (
        Backend(backends.ok(b"{")) as backend,
        Rig(validation=ValidationOptions(response_json=True), **kept) as rig,
    ):
        rig.serve(backend.url)
        assert (await rig.ask(post(GOOD)))[0] == 200
        await until(lambda: rig.exchanges() == {"invalid": 1})
        (capture,) = CaptureRing(rig.segment, 0, at.CAPTURE_FAILURES).read()
        assert capture.payload.endswith(GOOD + b"{")
