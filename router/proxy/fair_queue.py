"""A fair queue of the connections with more work than fits into one turn of the event loop.

A client that pipelines without end, or sends faster than the backend reads, always has its next request or read
waiting. In each turn of the loop the connection that has waited longest takes one step. Between two turns the loop
serves all other connections. So another client waits for one further step only, however many bytes the busy client has
sent.

Why: docs/decisions.md#one-step-per-turn-of-the-loop.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

LARGE_READ_BYTES: Final = 128 * 1024
"""A read this large may be followed by 31 others in the same turn (`uv__read` goes on while its 256,000 bytes are filled): its
connection reads on in another turn.
"""
GREEDY_STEPS: Final = 64
"""A connection counts as greedy after so many steps without an empty buffer: more requests than a client usually
pipelines.
"""
GREEDY_STEPS_PER_REST: Final = 8
"""The greedy connections together take so many steps, one a turn, then none for REST_S."""
REST_S: Final = 0.001


class QueuedConnection(Protocol):
    """A connection that has more to do."""

    @property
    def greedy(self) -> bool:
        """Whether it has had work waiting for GREEDY_STEPS steps."""

    def take_turn(self) -> None:
        """Take one step. If there is more to do, the connection has to enqueue itself again."""


class FairQueue:
    """The queue of one worker. A connection may be in it once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[QueuedConnection] = deque()
        self._greedy: deque[QueuedConnection] = deque()
        self._greedy_steps = 0
        self._resting = False
        self._due = False

    def enqueue(self, connection: QueuedConnection) -> None:
        """Let the connection take one step in a later turn of the loop."""
        (self._greedy if connection.greedy else self._waiting).append(connection)
        self._schedule()

    def _schedule(self) -> None:
        if not self._due and (self._waiting or (self._greedy and not self._resting)):
            self._due = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._due = False
        if self._waiting:
            connection = self._waiting.popleft()
        elif self._greedy and not self._resting:
            connection = self._greedy.popleft()
            self._greedy_steps += 1
            if self._greedy_steps >= GREEDY_STEPS_PER_REST:
                self._greedy_steps, self._resting = 0, True
                self.loop.call_later(REST_S, self._rested)
        else:
            return
        self._schedule()
        connection.take_turn()

    def _rested(self) -> None:
        self._resting = False
        self._schedule()
