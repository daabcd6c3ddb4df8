"""Valid requests are served, cut anywhere; target, body and end-to-end fields arrive byte for byte."""

from __future__ import annotations

import pytest

from tests.proxy.recorder import Recorder, Wire, h11_requests, statuses
from tests.proxy.rig import Rig, until
from tests.proxy.unusual import UNUSUAL, Unusual
from tests.proxy.waiting import turns


def judge(case: Unusual, arrived: bytes) -> None:
    head, _, body = arrived.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    assert (line, body) == (case.line, case.body)
    at = 0
    for field in case.fields:
        found = [
            number
            for number in range(at, len(lines))
            if lines[number] == field or lines[number].endswith(b": " + field)
        ]
        assert found, (field, lines)
        at = found[0] + 1
    assert not [name for name in case.gone if any(text.lower().startswith(name + b":") for text in lines)]
    if max(line) < 0x80:  # h11 takes no obs-text in a target; everything else it must read as we do
        assert len(h11_requests(arrived)[0]) == 1


def test_the_table_is_as_long_as_promised() -> None:
    assert len({case.name for case in UNUSUAL}) == len(UNUSUAL) >= 40


@pytest.mark.parametrize("case", UNUSUAL, ids=[case.name[:50] for case in UNUSUAL])
async def test_served_unchanged(case: Unusual) -> None:
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        size = len(case.raw)
        places = [0, *(range(1, size) if size < 600 else (*range(1, 40), *range(size - 40, size)))]
        for some in (places[start : start + 60] for start in range(0, len(places), 60)):
            wires = [Wire(rig.data_plane) for _ in some]
            for wire, cut in zip(wires, some, strict=True):
                wire.feed(*([case.raw[:cut]] if cut else []))
            await turns(6)
            for wire, cut in zip(wires, some, strict=True):
                wire.feed(case.raw[cut:])
            await until(lambda wires=wires: all(wire.written.endswith(b"\r\n\r\nok") for wire in wires))  # type: ignore[misc]
            for wire in wires:
                assert statuses(wire.written) == [200]
                wire.leave()
        await rig.quiet()
        assert len(recorder.requests) == len(places)
        assert recorder.rests == []
        for arrived in recorder.requests:
            judge(case, arrived)
