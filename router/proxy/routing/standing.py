"""What this worker has seen of one address of a version: good answers and faults, and how far the balancer passes it over."""

from __future__ import annotations

import math
from typing import Final

from router.rollout.outcome import Outcome

READY, DOUBTED, FALLBACK, RESTING, EJECTED = range(5)
"""Ranks, in the order of preference (routing/balancer.py)."""

_TOGETHER_S: Final = 0.1
"""Connections to one address that break within this time have one cause, and count as one fault of the address."""
_DOUBTED_S: Final = 1.0
_DOUBTED_MAX_S: Final = 10.0
_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 5.0
_REST_MAX_S: Final = 5.0
_BUSY_MIN: Final = 3
_BUSY_PERIOD_S: Final = 1.0
_CONNECTIONS_BROKEN: Final = (Outcome.CONNECT_FAILED, Outcome.TRUNCATED)


class Standing:
    """One address in one worker. Times are monotonic seconds, 0: never.

    Until `ready_at_s` the balancer asks for the `rank`. `entered` and `faults` are counts since the last sweep. `in_a_row`,
    `requests` and `overdue` count since the last good answer: faults, different requests among them, and waits that exceeded
    their limit. `connects`: the last connection could be made, or none was tried; `reached`: the last one could be made.
    """

    def __init__(self) -> None:
        # the choice
        self.ready_at_s = 0.0
        self.backoff_until_s = 0.0
        self.rests_until_s = 0.0
        self.doubted_until_s = 0.0
        self.ejected_until_s = 0.0
        self.fallback = False
        self.condemned = False
        self.connects = True
        self.reached = False
        # what was seen
        self.entered = 0
        self.faults = 0
        self.in_a_row = 0
        self.requests = 0
        self.overdue = 0
        self.good_s = 0.0
        self.bad_s = 0.0
        self._last_request: object = None
        self._backoff_s = 0.0
        self._busy = 0
        self._busy_since_s = 0.0

    def rank(self, now_s: float) -> int:
        """Return how far the balancer passes this address over."""
        if self.ejected_until_s > now_s:
            return EJECTED
        if self.backoff_until_s > now_s or self.rests_until_s > now_s:
            return RESTING
        if self.fallback:
            return FALLBACK
        return DOUBTED if self.doubted_until_s > now_s else READY

    def _settle(self) -> None:
        self.ready_at_s = max(self.backoff_until_s, self.rests_until_s, self.doubted_until_s, self.ejected_until_s)
        if self.fallback:
            self.ready_at_s = math.inf

    # -- attempts
    def enter(self) -> None:
        """Count an attempt."""
        self.entered += 1

    def count_fault(self) -> None:
        """Count a fault of the version: no other address answered its attempt."""
        self.faults += 1

    def clear_counts(self) -> None:
        """Count from zero: the counts were reported."""
        self.entered = self.faults = 0

    def well(self, now_s: float) -> None:
        """Record a useful answer, or an end without a fault: faults and waits before it count no more."""
        self.good_s = now_s
        if self.in_a_row or self.overdue:
            self.well_elsewhere()

    def well_elsewhere(self) -> None:
        """Forget the faults and waits: another worker had a good answer after them."""
        self.in_a_row = self.requests = self.overdue = 0
        self.doubted_until_s = 0.0
        self._settle()

    def failed(self, outcome: int, request: object, now_s: float) -> None:
        """Record a fault. `request` tells requests apart; None: unknown, and different from all others."""
        if outcome in _CONNECTIONS_BROKEN and self.in_a_row and now_s - self.bad_s < _TOGETHER_S:
            return
        if not self.in_a_row or request is None or request != self._last_request:
            self.requests += 1
        self._last_request = request
        self.in_a_row += 1
        self.bad_s = now_s
        self._doubt(now_s)

    def waited_too_long(self, now_s: float) -> None:
        """Record a wait that exceeded the limit of its work bucket."""
        self.overdue += 1
        self.bad_s = now_s
        self._doubt(now_s)

    def _doubt(self, now_s: float) -> None:
        if not self.condemned:
            self.doubted_until_s = now_s + min(_DOUBTED_S * (self.in_a_row + self.overdue), _DOUBTED_MAX_S)
            self._settle()

    def busy(self, retry_after_s: float, now_s: float) -> None:
        """Record a 503 with Retry-After: after _BUSY_MIN of them within _BUSY_PERIOD_S the address rests, at most 5 s."""
        if now_s - self._busy_since_s > _BUSY_PERIOD_S:
            self._busy, self._busy_since_s = 0, now_s
        self._busy += 1
        if self._busy >= _BUSY_MIN:
            self._busy = 0
            self.rests_until_s = now_s + min(retry_after_s, _REST_MAX_S)
            self._settle()

    # -- connections
    def connected(self) -> None:
        """Record a connection: there is nothing to back off from."""
        self.connects = self.reached = True
        self._backoff_s = self.backoff_until_s = 0.0
        self._settle()

    def back_off(self, now_s: float) -> None:
        """Let other addresses be tried first for a while: a connection failed, or takes long."""
        self._backoff_s = min(max(_BACKOFF_FIRST_S, self._backoff_s * 2), _BACKOFF_MAX_S)
        self.backoff_until_s = now_s + self._backoff_s
        self.connects = self.reached = False
        self._settle()

    # -- decisions of replicas.py
    def eject(self, until_s: float, condemned: bool) -> None:
        """Keep out until then. `condemned`: it is bad, but too many others are: it is used, and not doubted any more."""
        if self.ejected_until_s != until_s or self.condemned != condemned:
            self.ejected_until_s, self.condemned = until_s, condemned
            if condemned:
                self.doubted_until_s = 0.0
            self._settle()

    def set_fallback(self, fallback: bool) -> None:
        """Be used only while no address of the other family of the name is ready."""
        if self.fallback != fallback:
            self.fallback = fallback
            self._settle()
