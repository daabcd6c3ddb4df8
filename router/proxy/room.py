"""How many requests a worker has under way, whichever version serves them: `requests_max`, dealt out in quotas.

A counter would be touched twice by every request. Instead a target may have `quota` attempts open without asking, which costs
the one comparison that `in_flight_max` costs anyway. Who has reached its quota asks here: all open attempts are counted, and
what is left is dealt out anew. What is dealt out is never more than is left, so the limit holds at every moment (only a
rescue, which was counted before, may come on top until the next sweep); and nobody is refused while anything is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.rollout.outcome import Outcome
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.exchange import Exchange
    from router.proxy.plane import Plane
    from router.proxy.view import TargetView


class Room:
    """What is left of `requests_max`."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def deal(self) -> int:
        """Give each target its share of what is left; return how many requests more there may be. In every sweep."""
        plane = self._plane
        serving = [target for service in plane.services for target in service.targets.values()]
        leaving = [target for service in plane.services for target in service.leaving]
        left = max(0, plane.options.requests_max - sum(len(target.open) for target in (*serving, *leaving)))
        share = left // max(1, len(serving))
        for target in serving:
            target.quota = min(plane.in_flight_max, len(target.open) + share)
        return left

    def admits(self, target: TargetView) -> bool:
        """Return whether a target that has used up its quota may have one attempt more."""
        return len(target.open) < self._plane.in_flight_max and self.deal() > 0


def turn_away(exchange: Exchange, target: TargetView) -> None:
    """Answer a request for which there is no room: 503, and a client may come again soon (Retry-After)."""
    plane = exchange.plane
    if len(target.open) >= plane.in_flight_max:  # of this version alone: that is to be seen at the version
        exchange.crowded_out(target)
    else:
        plane.count_limit(at.LIMITED_REQUESTS)
        exchange.answer(503, "overloaded", "this worker has requests_max requests under way", Outcome.REFUSED)
