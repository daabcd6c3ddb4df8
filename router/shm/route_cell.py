"""Publish and read the route word of a service.

Control writes the slot contents first, then the two time stamps, then the word in one store. x86-64 keeps stores in order. On
other machines the CRC of the slot contents (slots.py) detects a wrong order, and the write to each worker's eventfd, which
follows, is a full barrier. Control is the only writer of the word, so its compare-and-set needs no lock.
"""

from __future__ import annotations

from router.errors import InternalError
from router.rollout.model.route import Route, decode
from router.runtime import clock
from router.shm import layout as at
from router.shm.segment import Segment


class RouteCell:
    """The cell of one service; one writer (control), any number of readers."""

    def __init__(self, segment: Segment, service: int) -> None:
        self._words = segment.words
        self.offset = segment.layout.route(service)

    def word(self) -> int:
        """Return the present word; 0 before the first publication."""
        return self._words[self.offset + at.R_WORD]

    def read(self) -> Route | None:
        """Return the present route; None before the first publication."""
        word = self.word()
        return decode(word) if word else None

    def publish(self, route: Route, decided_ns: int) -> int:
        """Store `route`; return the monotonic nanosecond of the store. Raise InternalError if the generation does not grow."""
        present = self.read()
        if present is not None and route.generation <= present.generation:
            raise InternalError("generation_stale", f"route {route.generation} after {present.generation}")
        stored_ns = clock.now_ns()
        self._words[self.offset + at.R_DECIDED_NS] = decided_ns
        self._words[self.offset + at.R_STORED_NS] = stored_ns
        self._words[self.offset + at.R_WORD] = route.encode()
        return stored_ns

    def decided_ns(self) -> int:
        """Return the time of the decision for the present word (monotonic)."""
        return self._words[self.offset + at.R_DECIDED_NS]

    def stored_ns(self) -> int:
        """Return the time at which the present word was stored (monotonic)."""
        return self._words[self.offset + at.R_STORED_NS]
