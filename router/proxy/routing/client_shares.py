"""How the places of one limit are shared between clients while clients are refused. Values and `now` in, decisions out.

    free ── a client below its share is refused while another holds more than its share ─► contended
    contended ── for HOLD_S no request of a client below its share, or no client above its share ─► free

A *share* is the number of places divided by the number of clients that hold or request a place, and at least a
SHARE_PARTS-th of the places. A client below its share is never limited, however many addresses compete. While
contended, a client at its share leaves some places free for the clients below theirs: as many as those clients request
in a second, at least one, at most a SHARE_PARTS-th. So a client with many requests loses few places when the others
send few requests. If no client below its share was admitted for STUCK_S, places have to be cleared: as many as were
refused to those clients, within the same bound. A single client is never limited, because no other client is refused.

Slow requests of one client on all places look like a version that hangs, as long as no other request is admitted to
show the difference. So after PROBE_AFTER_S without a place, one request of a client below its share is admitted beyond
the limit, and the next one when that has ended.

Why: docs/decisions.md#shares-of-clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HOLD_S: Final = 60.0
"""A refused client retries within this time, also with a long back-off, and finds the place that was kept for it."""
STUCK_S: Final = 10.0
PROBE_AFTER_S: Final = 2.0
"""A fraction of the time after which a version counts as hanging (`hang_after_min_s`)."""
SHARE_PARTS: Final = 8
_WAITING_MAX: Final = 1024
_SECOND_S: Final = 1.0


class ClientShares:
    """The shares of one limit.

    `held`: the places of each client at the last count, and those given since. `contended`: `refuses` has to be called.
    """

    def __init__(self) -> None:
        self.contended = False
        self.held: dict[str, int] = {}
        self.counted_s = -1.0
        self._most = 0
        self._waiting: dict[str, float] = {}  # the last request of each client
        self._newcomers = 0  # clients in `_waiting` that held nothing at the last count
        self._requests: dict[str, int] = {}  # of clients below their share, in this second
        self._requested = 0  # their sum
        self._second_s = 0.0
        self._demand = 0
        self._starved = 0
        self._served_s = self._below_s = self._above_s = 0.0

    def count(self, held: Mapping[str, int], now_s: float) -> None:
        """Set the places by client as counted at `now_s`; clients without an address of their own are left out."""
        self.held = dict(held)
        self.counted_s = now_s
        self._most = max(held.values(), default=0)
        self._newcomers = sum(client not in held for client in self._waiting)

    def share(self, places: int) -> int:
        """Return how many of `places` a client may hold without being limited."""
        return max(places // max(len(self.held) + self._newcomers, 1), _part(places))

    def record_refusal(self, client: str | None, places: int, now_s: float) -> None:
        """Record that there was no place for `client`; None if it has no address of its own."""
        if client is None:
            return
        self._record_waiting(client, now_s)
        share = self.share(places)
        if self.held.get(client, 0) >= share or self._most <= share:
            return
        if not self.contended:
            self.contended = True
            self._served_s = self._above_s = self._second_s = now_s
            self._starved = self._demand = 0
        self._below_s = now_s
        if self._count_request(client, share):
            self._starved += 1

    def refuses(self, client: str | None, places: int, free: int, now_s: float) -> bool:
        """Return whether `client` has reached its share and has to leave the free places to others."""
        if client is None or not self.contended or self.held.get(client, 0) < self.share(places):
            return False
        self._above_s = now_s
        return free <= self.kept_free(places)

    def is_probe(self, client: str | None, places: int, now_s: float) -> bool:
        """Return whether `client` is admitted beyond the limit: no client below its share got a place for PROBE_AFTER_S."""
        if client is None or not self.contended or now_s - self._served_s < PROBE_AFTER_S:
            return False
        return self._starved > 0 and self.held.get(client, 0) < self.share(places)

    def kept_free(self, places: int) -> int:
        """Return how many places are kept free for clients below their share."""
        return max(1, min(_part(places), max(self._demand, self._requested)))

    def record_admission(self, client: str | None, places: int, now_s: float) -> None:
        """Record that `client` got a place while contended."""
        if client is None:
            return
        share = self.share(places)
        self._record_waiting(client, now_s)
        if self.held.get(client, 0) < share:
            self._served_s = self._below_s = now_s
            self._starved = 0
            self._count_request(client, share)
        if client not in self.held:
            self._newcomers -= 1
        self.held[client] = self.held.get(client, 0) + 1

    def places_to_clear(self, places: int, now_s: float) -> int:
        """Return how many places have to be cleared. Called once a sweep while contended, after `count`."""
        if self._most > self.share(places):
            self._above_s = now_s
        if now_s - min(self._below_s, self._above_s) >= HOLD_S:
            self.contended = False
            self._waiting.clear()
            self._requests.clear()
            self._requested = self._newcomers = 0
            return 0
        if now_s - self._second_s >= _SECOND_S:
            self._second_s = now_s
            self._demand = max(self._requested, self._demand - max(1, self._demand // 16))
            self._requests.clear()
            self._requested = 0
            self._waiting = {client: at_s for client, at_s in self._waiting.items() if now_s - at_s < HOLD_S}
        if not self._starved or now_s - self._served_s < STUCK_S:
            return 0
        number = min(self._starved, _part(places))
        self._starved, self._served_s, self._demand = 0, now_s, max(self._demand, number)
        return number

    def _count_request(self, client: str, share: int) -> bool:
        """Count a request of `client`, unless its requests exceed its share; return whether the request was counted."""
        requested = self._requests.get(client, 0)
        if self.held.get(client, 0) + requested >= share or len(self._requests) > _WAITING_MAX:
            return False
        self._requests[client] = requested + 1
        self._requested += 1
        return True

    def _record_waiting(self, client: str, now_s: float) -> None:
        if self._waiting.pop(client, None) is None and client not in self.held:
            self._newcomers += 1
        self._waiting[client] = now_s
        if len(self._waiting) > _WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]


def _part(places: int) -> int:
    return -(-places // SHARE_PARTS)
