"""Control's side of the workers: it detects which are alive, reads their acknowledgements, wakes them, waits for them.

Why: docs/decisions.md#acknowledgements-by-eventfd.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.runtime import clock
from router.runtime.processes import process_exists
from router.shm.worker_stats import WorkerStats

_ONE: Final = (1).to_bytes(8, "little")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """`unconfirmed`: the live workers that have not acknowledged. `confirmed_ms`: from the store to the last acknowledgement, or
    to the end of the wait. `workers_ms`: (worker, from the store to its acknowledgement) of workers at exactly this route.
    """

    unconfirmed: tuple[int, ...]
    confirmed_ms: float
    workers_ms: tuple[tuple[int, float], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every live worker claims from the new route."""
        return not self.unconfirmed


class Workers:
    """All workers. A worker without a process claims nothing, so it is not waited for; its replacement reads the route before it
    accepts connections.
    """

    def __init__(
        self,
        worker_stats: WorkerStats,
        wake_fds: list[int],
        acks_fd: int,
        exists: Callable[[int], bool] = process_exists,
    ) -> None:
        self._worker_stats = worker_stats
        self._wake_fds = wake_fds
        self._acks_fd = acks_fd
        self._exists = exists
        self._waiting: set[asyncio.Future[None]] = set()

    def listen(self) -> None:
        """Watch the eventfd that the workers write to."""
        asyncio.get_running_loop().add_reader(self._acks_fd, self.acknowledged)

    def stop_listening(self) -> None:
        """Stop watching."""
        asyncio.get_running_loop().remove_reader(self._acks_fd)

    def acknowledged(self) -> None:
        """Let every wait check again: a worker has acknowledged a route."""
        try:
            os.read(self._acks_fd, 8)
        except BlockingIOError:
            pass
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def wake(self) -> None:
        """Let every worker read its routes again."""
        for fd in self._wake_fds:
            try:
                os.write(fd, _ONE)
            except BlockingIOError:  # the counter is full: it wakes anyway
                pass

    def living(self) -> list[int]:
        """Return the workers that have a process."""
        pids = ((index, self._worker_stats.pid(index)) for index in range(self._worker_stats.workers))
        return [index for index, pid in pids if pid and self._exists(pid)]

    def unconfirmed(self, service: int, generation: int) -> list[int]:
        """Return the live workers that have not acknowledged `generation` of `service`."""
        return [index for index in self.living() if self._worker_stats.acknowledged(index, service) < generation]

    async def confirm(self, service: int, generation: int, stored_ns: int, timeout_s: float) -> Confirmation:
        """Wait until every live worker claims from `generation`, at most `timeout_s` after its store."""
        deadline_ns = stored_ns + int(timeout_s * 1e9)
        loop = asyncio.get_running_loop()
        while (unconfirmed := self.unconfirmed(service, generation)) and (left_ns := deadline_ns - clock.now_ns()) > 0:
            again: asyncio.Future[None] = loop.create_future()
            self._waiting.add(again)
            try:
                await asyncio.wait_for(again, left_ns / 1e9)
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(again)
        took_ms = round((clock.now_ns() - stored_ns) / 1e6, 3)
        return Confirmation(tuple(unconfirmed), took_ms, self._ack_times(service, generation, stored_ns))

    def _ack_times(self, service: int, generation: int, stored_ns: int) -> tuple[tuple[int, float], ...]:
        worker_stats = self._worker_stats
        acknowledged = [index for index in self.living() if worker_stats.acknowledged(index, service) == generation]
        times = ((index, (worker_stats.acknowledged_ns(index, service) - stored_ns) / 1e6) for index in acknowledged)
        # A negative time is of a replacement, which has read the route.
        return tuple((index, round(ms, 3)) for index, ms in times if ms >= 0)
