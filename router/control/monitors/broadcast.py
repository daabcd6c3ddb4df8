"""Publishes events to subscribers. A subscriber that is too slow is dropped: it costs one bounded queue."""

from __future__ import annotations

import asyncio
from typing import Any, Final

QUEUE_MAX: Final = 1000
SUBSCRIBERS_MAX: Final = 160
"""More than all event streams and all live streams together."""

Queue = asyncio.Queue[dict[str, Any] | None]
"""None is the last item of a subscriber that was dropped; the items that it has not read are discarded."""


class Broadcast:
    """One bounded queue for each subscriber."""

    def __init__(self, queue_max: int = QUEUE_MAX) -> None:
        self._queue_max = queue_max
        self._queues: list[Queue] = []

    def __len__(self) -> int:
        return len(self._queues)

    def subscribe(self) -> Queue:
        """Return a queue that gets every event from now on; beyond `SUBSCRIBERS_MAX` the oldest subscriber is dropped."""
        queue: Queue = asyncio.Queue(self._queue_max)
        self._queues = [*self._queues, queue]
        if len(self._queues) > SUBSCRIBERS_MAX:
            self._drop(self._queues[0])
        return queue

    def unsubscribe(self, queue: Queue) -> None:
        """Remove a subscriber."""
        self._queues = [other for other in self._queues if other is not queue]

    def publish(self, event: dict[str, Any]) -> None:
        """Put `event` into every queue; drop the subscribers whose queue is full."""
        for queue in self._queues:
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self._drop(queue)

    def _drop(self, queue: Queue) -> None:
        self.unsubscribe(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)
