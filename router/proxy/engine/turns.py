"""Who may go on in which turn of the loop: connections with more work than one turn may take from the others.

A client that pipelines without end, or sends faster than we pass on, always has its next request or read waiting. In each
turn of the loop one of them goes on, the one that has waited longest, however many there are; between two turns the loop
serves whatever else has arrived. So what others wait for is one step more, not all that somebody has sent.
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
"""Who has taken so many steps without having had nothing left is greedy: more requests than anybody sends ahead."""
GREEDY_STEPS_PER_REST: Final = 8
"""Of the greedy ones so many steps are taken, one a turn, then none for REST_S."""
REST_S: Final = 0.001


class Member(Protocol):
    """A connection with more to do."""

    @property
    def greedy(self) -> bool:
        """Whether it never has nothing left."""

    def take_turn(self) -> None:
        """Take one step; whoever has more to do then has to ask for another turn."""


class Turns:
    """The turns of one worker. Whoever waits is in it once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[Member] = deque()
        self._greedy: deque[Member] = deque()
        self._greedy_steps = 0
        self._resting = False
        self._due = False

    def ask(self, member: Member) -> None:
        """Let it go on in a later turn."""
        (self._greedy if member.greedy else self._waiting).append(member)
        self._schedule()

    def _schedule(self) -> None:
        if not self._due and (self._waiting or (self._greedy and not self._resting)):
            self._due = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._due = False
        if self._waiting:
            member = self._waiting.popleft()
        elif self._greedy and not self._resting:
            member = self._greedy.popleft()
            self._greedy_steps += 1
            if self._greedy_steps >= GREEDY_STEPS_PER_REST:
                self._greedy_steps, self._resting = 0, True
                self.loop.call_later(REST_S, self._rested)
        else:
            return
        self._schedule()
        member.take_turn()

    def _rested(self) -> None:
        self._resting = False
        self._schedule()
