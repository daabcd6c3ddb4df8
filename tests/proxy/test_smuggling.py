"""What is not one unambiguous request is refused, cut anywhere; no backend ever gets the end of it."""

from __future__ import annotations

import pytest

from tests.proxy.malformed import MALFORMED
from tests.proxy.recorder import Recorder, Wire, h11_requests, statuses
from tests.proxy.rig import Rig, until
from tests.proxy.smuggling import FRAMING, HIDDEN, Bad
from tests.proxy.waiting import turns

ALL = [*FRAMING, *MALFORMED]

_EVERY_CUT_BYTES = 600
"""Longer inputs are cut at each of their first and last bytes and at a few places between."""


def cuts(raw: bytes) -> list[int]:
    size = len(raw)
    if size <= _EVERY_CUT_BYTES:
        return list(range(1, size))
    return [*range(1, 60), *range(60, size - 60, max(1, size // 8)), *range(size - 60, size)]


def judge(case: Bad, written: bytes, cut: object) -> None:
    """Valid requests before the fault are answered with 200, the fault by one refusal, nothing after it."""
    found = statuses(written)
    assert found[:-1] == [200] * case.served, (case.name, cut, found)
    assert found[-1] in case.statuses, (case.name, cut, found)
    assert b"\r\nConnection: close\r\n" in written
    assert b"\r\nX-Router-Error: " in written


def judge_backend(case: Bad, recorder: Recorder, times: int) -> None:
    assert len(recorder.requests) == case.served * times
    assert not any(b"hidden" in request.split(b"\r\n")[0] for request in recorder.requests)
    for connection in recorder.connections:
        found, complete = h11_requests(connection.raw)  # raises if it is not HTTP
        assert len(found) - (not complete and bool(found)) == len(connection.requests)
        if connection.rest:
            assert case.partial, connection.rest
            assert not complete


def test_the_table_is_as_long_as_promised_and_names_each_case_once() -> None:
    assert len(ALL) >= 150
    names = [case.name for case in ALL]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("case", ALL, ids=[case.name[:60] for case in ALL])
async def test_refused(case: Bad) -> None:
    """Over a real connection in one write; then each cut in two reads, and byte by byte."""
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        client = await rig.client()
        await client.send(case.raw)
        judge(case, await client.rest(), "whole")
        judge_backend(case, recorder, 1)
        recorder.clear()
        places = cuts(case.raw)
        for some in (places[start : start + 90] for start in range(0, len(places), 90)):
            wires = [Wire(rig.data_plane) for _ in some]
            for wire, cut in zip(wires, some, strict=True):
                wire.feed(case.raw[:cut])
            await turns(6)  # what is whole so far reaches the backend, and its answer comes back
            for wire, cut in zip(wires, some, strict=True):
                wire.feed(case.raw[cut:])
            await until(lambda wires=wires: all(wire.over for wire in wires))  # type: ignore[misc]
            for wire, cut in zip(wires, some, strict=True):
                judge(case, wire.written, cut)
                wire.leave()
        await rig.quiet()
        judge_backend(case, recorder, len(places))


@pytest.mark.parametrize("case", ALL, ids=[case.name[:60] for case in ALL])
async def test_refused_byte_by_byte(case: Bad) -> None:
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        wire = Wire(rig.data_plane)
        wire.feed(*(case.raw[at : at + 1] for at in range(min(len(case.raw), 5000))), case.raw[5000:])
        await until(lambda: wire.over)
        judge(case, wire.written, "bytes")
        wire.leave()
        await rig.quiet()
        judge_backend(case, recorder, 1)


async def test_a_hidden_request_alone_is_served() -> None:
    """So that the table proves something: nothing is wrong with the request that its cases hide."""
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        assert (await rig.ask(HIDDEN))[0] == 200
        assert len(recorder.requests) == 1
