from __future__ import annotations

import asyncio
import logging

import pytest

from router.runtime.tasks import Tasks


async def test_a_task_is_named_referenced_and_forgotten_when_it_ends() -> None:
    tasks, gate = Tasks(), asyncio.Event()
    task = tasks.spawn(gate.wait(), "waiting")
    assert (task.get_name(), len(tasks)) == ("waiting", 1)
    gate.set()
    assert await task is True
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_a_crash_is_reported_with_its_name(caplog: pytest.LogCaptureFixture) -> None:
    async def crash() -> None:
        raise ValueError("seven")

    tasks = Tasks()
    with caplog.at_level(logging.ERROR):
        await asyncio.wait([tasks.spawn(crash(), "sampler")])
        await asyncio.sleep(0)
    assert [(record.message, str(record.exc_info and record.exc_info[1])) for record in caplog.records] == [
        ("task sampler crashed", "seven")
    ]


async def test_close_cancels_and_waits(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("careful")

    tasks = Tasks()
    tasks.spawn(careful(), "careful")
    await asyncio.sleep(0)
    await tasks.close()
    assert (ended, len(tasks), caplog.records) == (["careful"], 0, [])
