"""The places that a bound allows, by client, while clients are refused for want of one. Values and `now` in, decisions out.

    free ── somebody is refused who holds less than its share, while another holds more ─► pressed
    pressed ── for HOLD_S nobody below its share asked, or nobody above its share held or asked ─► free

A *share* is the places divided by the clients that hold or want one, and at least one of SHARE_PARTS: who holds less is
never limited, however many addresses press. While pressed, who has reached its share leaves some places free for those below
theirs: as many as these ask for in a second, at least one, at most one of SHARE_PARTS. So a client that asks for much loses
little when the others ask for little. Where nobody below its share was let in for STUCK_S, places are to be cleared: as many
as were refused to them, within the same bound. A single client is never limited: nobody else is refused.

Requests of one client that are slow by their nature look like a version that hangs, as long as no others get in to show the
difference. So after WITNESS_S without a place one of those below their share is let in besides, and the next when it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HOLD_S: Final = 60.0
"""Clients that were refused come again within it, with whatever back-off, and find the place that was kept for them."""
STUCK_S: Final = 10.0
WITNESS_S: Final = 2.0
"""A fraction of what it takes to say that a version hangs (`hang_after_min_s`)."""
SHARE_PARTS: Final = 8
_WANTING_MAX: Final = 1024
_SECOND_S: Final = 1.0


class Places:
    """Of one bound. `held`: places by client when they were last counted, and what was let in since; `pressed`: ask `refuses`."""

    def __init__(self) -> None:
        self.pressed = False
        self.held: dict[str, int] = {}
        self.counted_s = -1.0
        self._most = 0
        self._wanting: dict[str, float] = {}  # who asked, and when last
        self._newcomers = 0  # of these, those that held nothing when it was counted
        self._asks: dict[str, int] = {}  # for how many places those below their share asked in this second
        self._asked = 0  # their sum
        self._second_s = 0.0
        self._demand = 0
        self._starved = 0
        self._served_s = self._below_s = self._above_s = 0.0

    def count(self, held: Mapping[str, int], now_s: float) -> None:
        """Take over who holds how much at `now_s`; clients that nothing tells apart are not among them."""
        self.held = dict(held)
        self.counted_s = now_s
        self._most = max(held.values(), default=0)
        self._newcomers = sum(client not in held for client in self._wanting)

    def share(self, places: int) -> int:
        """Return how many of `places` a client may hold without being limited."""
        return max(places // max(len(self.held) + self._newcomers, 1), _part(places))

    def refused(self, client: str | None, places: int, now_s: float) -> None:
        """There was no place for `client`, None if nothing tells it from others."""
        if client is None:
            return
        self._want(client, now_s)
        share = self.share(places)
        if self.held.get(client, 0) >= share or self._most <= share:
            return
        if not self.pressed:
            self.pressed = True
            self._served_s = self._above_s = self._second_s = now_s
            self._starved = self._demand = 0
        self._below_s = now_s
        if self._ask(client, share):
            self._starved += 1

    def refuses(self, client: str | None, places: int, free: int, now_s: float) -> bool:
        """Return whether `client` has reached its share and has to leave the free places to others."""
        if client is None or not self.pressed or self.held.get(client, 0) < self.share(places):
            return False
        self._above_s = now_s
        return free <= self.kept_free(places)

    def is_witness(self, client: str | None, places: int, now_s: float) -> bool:
        """Return whether `client`, for whom no place is left, may have one besides: nobody below its share got one for long."""
        if client is None or not self.pressed or now_s - self._served_s < WITNESS_S:
            return False
        return self._starved > 0 and self.held.get(client, 0) < self.share(places)

    def kept_free(self, places: int) -> int:
        """Return how many places are left to those below their share."""
        return max(1, min(_part(places), max(self._demand, self._asked)))

    def let_in(self, client: str | None, places: int, now_s: float) -> None:
        """`client` got a place while pressed."""
        if client is None:
            return
        share = self.share(places)
        self._want(client, now_s)
        if self.held.get(client, 0) < share:
            self._served_s = self._below_s = now_s
            self._starved = 0
            self._ask(client, share)
        if client not in self.held:
            self._newcomers -= 1
        self.held[client] = self.held.get(client, 0) + 1

    def look(self, places: int, now_s: float) -> int:
        """Once a sweep while pressed, after `count`: return how many places have to be cleared."""
        if self._most > self.share(places):
            self._above_s = now_s
        if now_s - min(self._below_s, self._above_s) >= HOLD_S:
            self.pressed = False
            self._wanting.clear()
            self._asks.clear()
            self._asked = self._newcomers = 0
            return 0
        if now_s - self._second_s >= _SECOND_S:
            self._second_s = now_s
            self._demand = max(self._asked, self._demand - max(1, self._demand // 16))
            self._asks.clear()
            self._asked = 0
            self._wanting = {client: at_s for client, at_s in self._wanting.items() if now_s - at_s < HOLD_S}
        if not self._starved or now_s - self._served_s < STUCK_S:
            return 0
        number = min(self._starved, _part(places))
        self._starved, self._served_s, self._demand = 0, now_s, max(self._demand, number)
        return number

    def _ask(self, client: str, share: int) -> bool:
        """Count one that `client` asks for, unless it asks for more than its share; return whether it counts."""
        asked = self._asks.get(client, 0)
        if self.held.get(client, 0) + asked >= share or len(self._asks) > _WANTING_MAX:
            return False
        self._asks[client] = asked + 1
        self._asked += 1
        return True

    def _want(self, client: str, now_s: float) -> None:
        if self._wanting.pop(client, None) is None and client not in self.held:
            self._newcomers += 1
        self._wanting[client] = now_s
        if len(self._wanting) > _WANTING_MAX:
            del self._wanting[next(iter(self._wanting))]


def _part(places: int) -> int:
    return -(-places // SHARE_PARTS)
