"""The thread of one file: it does jobs in their order, so that the event loop never waits for the disk.

A disk that hangs blocks this thread alone. The queue of jobs is bounded where a caller can refuse; `call` and `close` wait
with a timeout; the thread is a daemon, so the process exits without it.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from router.control.loop_calls import answering, on_loop
from router.errors import RouterError
from router.runtime import clock

EXPECTED: Final = (OSError, sqlite3.Error, RouterError)
"""Errors that a call may raise to its caller; any other is a bug and ends the thread, with its traceback in the log."""

Result = TypeVar("Result")


class QueueFull(Exception):
    """`jobs_max` jobs wait for the disk; this one was not queued."""


class WriterThread:
    """Its owner gives it the functions that run on the thread: `begin`, the jobs, `idle` and `end`.

    `idle` runs when no job is queued: at first and after each job (`waited` is False), and again when the seconds that it has
    returned have passed without a job (`waited` is True); None means not before the next job. `end` runs last, in any case.
    `on_error` runs on the event loop when `report` gets a new value.
    """

    def __init__(
        self,
        name: str,
        on_error: Callable[[str | None], None] = lambda why: None,
        *,
        jobs_max: int | None = None,
        begin: Callable[[], None] = lambda: None,
        idle: Callable[[bool], float | None] = lambda waited: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.error: str | None = None
        """What `report` got last, as the event loop has seen it."""
        self.busy_since_ns = 0
        """Start of the disk operation under way (monotonic nanoseconds); 0 if there is none."""
        self._on_error = on_error
        self._jobs_max = jobs_max
        self._begin = begin
        self._idle = idle
        self._end = end
        # SimpleQueue, because its `put` takes no lock of Python's.
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    # -- for the event loop
    def start(self) -> None:
        """Start the thread. Its owner calls this when all that `begin` and the jobs use is in place."""
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Return how many jobs wait. The job under way is not one of them."""
        return self._jobs.qsize()

    def submit(self, job: Callable[[], None]) -> bool:
        """Queue `job` and return at once: False if it was not queued because `jobs_max` jobs wait."""
        if self._jobs_max is not None and self.waiting >= self._jobs_max:
            return False
        self._jobs.put(job)
        return True

    async def call(self, function: Callable[[], Result], timeout_s: float) -> Result:
        """Return what `function` returns on the thread, or raise its error.

        Raise QueueFull, or TimeoutError after `timeout_s`; a function that was queued runs all the same.
        """
        answer: asyncio.Future[Result] = self._loop.create_future()
        if not self.submit(answering(answer, function, EXPECTED)):
            raise QueueFull
        return await asyncio.wait_for(answer, timeout_s)

    def wake(self) -> None:
        """Have `idle` called soon."""
        if self._jobs.empty():  # else it is called after the job that waits
            self._jobs.put(lambda: None)

    async def close(self, timeout_s: float) -> bool:
        """Do the queued jobs and end the thread; return whether it has ended within `timeout_s`."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, timeout_s)
        return not self._thread.is_alive()

    # -- on the thread
    def report(self, error: str | None) -> None:
        """Record why the disk refuses, or None if it works."""
        on_loop(self._loop, self._reported)(error)

    @contextmanager
    def at_disk(self) -> Iterator[None]:
        """Record the disk operation of this block in `busy_since_ns`."""
        self.busy_since_ns = clock.now_ns()
        try:
            yield
        finally:
            self.busy_since_ns = 0

    def _work(self) -> None:
        try:
            self._begin()
            self._do_jobs()
        finally:
            self._end()

    def _do_jobs(self) -> None:
        wait_s: float | None = 0.0
        waited = False
        while True:
            try:
                job = self._jobs.get(timeout=wait_s)
            except queue.Empty:
                wait_s, waited = self._idle(waited), True
                continue
            if job is None:
                return
            job()
            wait_s, waited = 0.0, False

    def _reported(self, error: str | None) -> None:
        if error != self.error:
            self.error = error
            self._on_error(error)
