"""Jobs are done in their order, a call is answered, refused or given up, and the thread ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from router.control.store.writer_thread import QueueFull, WriterThread
from router.errors import InternalError
from tests.proxy.rig import until


@asynccontextmanager
async def running(*arguments: Any, **more: Any) -> AsyncIterator[WriterThread]:
    thread = WriterThread("a test", *arguments, **more)
    thread.start()
    try:
        yield thread
    finally:
        assert await thread.close(5)


def raising(error: Exception) -> Callable[[], None]:
    def job() -> None:
        raise error

    return job


async def test_steps_are_begin_then_jobs_then_end() -> None:
    steps: list[str] = []
    parts = {name: (lambda name=name: steps.append(name)) for name in ("begin", "end")}
    async with running(**parts) as thread:
        for name in "abc":
            assert thread.submit(lambda name=name: steps.append(name))
    assert steps == ["begin", "a", "b", "c", "end"]


async def test_a_call_returns_what_its_function_returns_on_the_thread() -> None:
    async with running() as thread:
        assert await thread.call(lambda: threading.current_thread().name, 5) == "a test"
        with pytest.raises(OSError, match="no such"):
            await thread.call(raising(OSError("no such")), 5)
        assert await thread.call(lambda: 1, 5) == 1


async def test_a_full_queue_refuses_and_a_disk_that_hangs_is_given_up() -> None:
    stuck = threading.Event()
    async with running(jobs_max=1) as thread:
        with pytest.raises(TimeoutError):
            await thread.call(stuck.wait, 0.01)
        assert thread.submit(lambda: None)
        assert not thread.submit(lambda: None)
        with pytest.raises(QueueFull):
            await thread.call(lambda: None, 5)
        assert not await thread.close(0.01)
        stuck.set()


async def test_only_a_new_error_is_reported_and_on_the_event_loop() -> None:
    reported: list[tuple[str | None, bool]] = []
    is_main = lambda: threading.current_thread() is threading.main_thread()  # noqa: E731
    async with running(lambda error: reported.append((error, is_main()))) as thread:
        for error in (None, "full", "full", None, None, "full"):
            thread.submit(lambda error=error: thread.report(error))
        await until(lambda: len(reported) == 3)
        assert reported == [("full", True), (None, True), ("full", True)]
        assert thread.error == "full"


async def test_idle_work_yields_to_jobs_and_is_repeated_when_it_asks() -> None:
    steps: list[str] = []
    answers = iter((0.0, None, 0.0, None))

    def idle(waited: bool) -> float | None:
        steps.append("again" if waited else "idle")
        return next(answers)

    async with running(idle=idle) as thread:
        await until(lambda: steps == ["idle", "again"])
        for name in "ab":
            thread.submit(lambda name=name: steps.append(name))
        await until(lambda: len(steps) == 6)
    assert steps == ["idle", "again", "a", "b", "idle", "again"]


async def test_wake_queues_one_job_at_most() -> None:
    free, turns = threading.Event(), []
    async with running(idle=turns.append) as thread:
        await until(lambda: len(turns) == 1)
        thread.wake()
        await until(lambda: len(turns) == 2)
        thread.submit(lambda: free.wait(5))
        await until(lambda: thread.waiting == 0)
        for _ in range(9):
            thread.wake()
        assert thread.waiting == 1
        free.set()


async def test_the_disk_is_busy_only_during_an_operation() -> None:
    free = threading.Event()

    def operation() -> None:
        with thread.at_disk():
            free.wait(5)

    async with running() as thread:
        assert thread.busy_since_ns == 0
        thread.submit(operation)
        await until(lambda: thread.busy_since_ns > 0)
        free.set()
        await until(lambda: thread.busy_since_ns == 0)


async def test_a_bug_is_logged_and_answered_and_the_file_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: logged.append(repr(args.exc_value)))
    closed = threading.Event()
    async with running(end=closed.set) as thread:
        with pytest.raises(InternalError, match="call_crashed"):
            await thread.call(raising(KeyError("x")), 5)
        await until(lambda: bool(logged))
    assert (logged, closed.is_set()) == (["KeyError('x')"], True)


async def test_after_the_loop_has_ended_a_report_does_nothing() -> None:
    held, free, ended = threading.Event(), threading.Event(), threading.Event()

    async def short_life() -> None:
        thread = WriterThread("a test", end=ended.set)
        thread.start()

        def job() -> None:
            held.set()
            free.wait(5)
            thread.report("full")

        thread.submit(job)
        await until(held.is_set)
        assert not await thread.close(0.01)

    await asyncio.to_thread(asyncio.run, short_life())
    free.set()
    assert await asyncio.to_thread(ended.wait, 5)
