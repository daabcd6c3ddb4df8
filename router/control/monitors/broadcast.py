"""Events for those who listen. A listener that does not keep up is dropped: it costs us a bounded queue and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any, Final

QUEUE_MAX: Final = 1000
LISTENERS_MAX: Final = 100

Queue = asyncio.Queue[dict[str, Any] | None]
"""None is the last item of a listener that was dropped: what it had not read yet is thrown away."""


class Broadcast:
    """Each listener has a queue of its own."""

    def __init__(self, queue_max: int = QUEUE_MAX) -> None:
        self._queue_max = queue_max
        self._queues: list[Queue] = []

    def __len__(self) -> int:
        return len(self._queues)

    def subscribe(self) -> Queue:
        """Return a queue that gets every event from now on; beyond `LISTENERS_MAX` the oldest listener is dropped."""
        queue: Queue = asyncio.Queue(self._queue_max)
        self._queues = [*self._queues, queue]
        if len(self._queues) > LISTENERS_MAX:
            self._drop(self._queues[0])
        return queue

    def unsubscribe(self, queue: Queue) -> None:
        """Forget a listener."""
        self._queues = [other for other in self._queues if other is not queue]

    def publish(self, event: dict[str, Any]) -> None:
        """Tell all of them."""
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
