"""Samples request bodies of a service into this worker's ring for control, which learns from them.

At most `samples_per_s` bodies are sampled, at even intervals. A sample costs the worker one copy (2 µs for 1 KiB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.runtime import clock
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.options import InputOptions


class RequestSampler:
    """The sampler of the service with this index, in one worker."""

    def __init__(self, context: WorkerContext, index: int, options: InputOptions) -> None:
        self.bytes_max = options.body_bytes_max
        self._every_s = 1.0 / options.samples_per_s
        self._next_s = 0.0
        self._ring = CaptureRing(context.segment, context.index, at.CAPTURE_INPUTS)
        self._index = index

    def is_due(self) -> bool:
        """Return whether the request that begins now is a sample."""
        now_s = clock.now_s()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True

    def keep(self, body: bytes) -> None:
        """Write one body into the ring."""
        if body:
            self._ring.write(clock.now_ns(), self._index, body)
