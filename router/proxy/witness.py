"""Who keeps a request and its response until they have ended, for those who ask afterwards what was in them.

A service that nobody asks about has no `Witnesses`; then a request costs one test of an attribute at each step, and nothing is
kept. A witness never holds its exchange: each call brings it along, so that nothing waits for the garbage collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.proxy.fields import CHUNKED
from router.proxy.kept import Kept

if TYPE_CHECKING:
    from router.proxy.exchange import Exchange
    from router.proxy.options import ServiceOptions
    from router.proxy.plane import Plane
    from router.proxy.response_head import ResponseHead
    from router.rollout.outcome import Outcome


class Witnesses:
    """Of one service in one worker: how much is kept, and whether at all."""

    def __init__(self, plane: Plane, options: ServiceOptions) -> None:
        self.plane = plane
        self.options = options.witness

    def admits(self, exchange: Exchange) -> bool:
        """An exchange starts: give it a witness, and return whether it may be claimed now."""
        if exchange.witness is None:
            exchange.witness = Witness(self, exchange)
        return True


class Witness:
    """Of one exchange. `head` and `response` are those of the answer that the client gets, once it has begun; an answer
    of our own has none.
    """

    __slots__ = ("_witnesses", "head", "request", "response")

    def __init__(self, witnesses: Witnesses, exchange: Exchange) -> None:
        self._witnesses = witnesses
        self.head: ResponseHead | None = None
        self.response: Kept | None = None
        self.request = Kept(witnesses.options.request_bytes_max, framed=exchange.head.length == CHUNKED)
        for piece in exchange.body or ():
            self.request.add(piece)

    def received(self, exchange: Exchange, data: bytes) -> None:
        """More of the request's body."""
        self.request.add(data)

    def responds(self, exchange: Exchange, head: ResponseHead, data: bytes) -> None:
        """The final head, and what came of the body with it."""
        self.head = head
        framed = head.length == CHUNKED and exchange.head.http11
        self.response = Kept(self._witnesses.options.response_bytes_max, framed=framed)
        self.response.add(data)

    def relays(self, data: bytes) -> None:
        """More of the response's body, as it goes to the client but for chunks that are ours."""
        if self.response is not None:
            self.response.add(data)

    def ended(self, exchange: Exchange, outcome: Outcome) -> None:
        """The exchange has ended and is counted."""


def witnesses_of(plane: Plane, options: ServiceOptions) -> Witnesses | None:
    """Return the witnesses of a service; None if nobody asks for any."""
    kept = options.witness
    return Witnesses(plane, options) if kept.request_bytes_max or kept.response_bytes_max else None
