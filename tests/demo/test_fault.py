"""A fault begins when it is told to, and spares the requests that its share spares."""

from __future__ import annotations

import asyncio
import json

import pytest

from router.demo.fault import CRASH_EXIT_CODE, Fault


async def test_nothing_is_wrong_before_the_fault_begins() -> None:
    assert await Fault("errors").apply() is None


async def test_errors_answer_500_from_then_on_and_the_change_is_noted_once(capsys: pytest.CaptureFixture[str]) -> None:
    fault = Fault("errors")
    fault.begin()
    fault.begin()
    answer = await fault.apply()
    assert answer is not None
    assert answer.status == 500
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert (event["event"], event["fault"]) == ("fault_begun", "errors")
    assert isinstance(event["monotonic_ns"], int)


async def test_a_share_of_the_requests_suffers() -> None:
    fault = Fault("errors", share=0.3)
    fault.begin()
    assert 220 <= sum([await fault.apply() is not None for _ in range(1000)]) <= 380


async def test_a_hanging_inference_ends_only_with_its_client() -> None:
    fault = Fault("hang")
    fault.begin()
    waiting = asyncio.ensure_future(fault.apply())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


def test_a_crash_ends_the_process_as_it_begins() -> None:
    codes: list[int] = []
    Fault("crash", end_process=codes.append).begin()
    assert codes == [CRASH_EXIT_CODE]


def test_no_fault_never_begins() -> None:
    fault = Fault("none")
    fault.begin()
    assert not fault.begun
