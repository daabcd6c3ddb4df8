"""A failed answer that is held back, because the request is tried on another version.

It is collected until it is whole. Then the other version is asked, and the answer is kept for the case that the rescue fails,
too. An answer beyond HELD_BYTES_MAX, or that is not whole after HOLD_S, is handed on as it comes, and the request is not rescued.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from router.proxy.http1.response_head import ResponseHead
    from router.rollout.outcome import Outcome

HELD_BYTES_MAX: Final = 64 * 1024
HOLD_S: Final = 1.0


class HeldAnswer:
    """`head` is that of the backend; `outcome` is that of the attempt; `attempt` is the one of the exchange that was answered so;
    `at_once`: head and body came in one read; `whole`: all of the body is here.
    """

    def __init__(self, head: ResponseHead, outcome: Outcome, attempt: Any, *, at_once: bool) -> None:
        self.head = head
        self.outcome = outcome
        self.attempt = attempt
        self.at_once = at_once
        self.whole = False
        self._pieces: list[bytes] = []
        self._bytes = 0

    def add(self, data: bytes) -> bool:
        """Keep more of the body; return False, and keep nothing of it, if that is too much."""
        if self._bytes + len(data) > HELD_BYTES_MAX:
            return False
        self._pieces.append(data)
        self._bytes += len(data)
        return True

    def finish(self, outcome: Outcome) -> None:
        """Note that all of the answer is here, and what it comes to."""
        self.whole = True
        self.outcome = outcome

    @property
    def body(self) -> bytes:
        """The body that has arrived, framed as the exchange relays it."""
        return b"".join(self._pieces)
