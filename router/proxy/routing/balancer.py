"""Chooses the address of a target for the next attempt: power of two choices by attempts in flight.

Of two random addresses the less loaded one is taken. That is nearly as even as comparing all of them, at a constant price
(Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing"). Some addresses are passed over as long as
others are left, in this order (`Standing.rank`):

    0  ready
    1  doubted: its last attempts failed. An address that fails at once has few attempts in flight, and must not draw
       traffic by that.
    2  of the other address family of its name
    3  no connection could be made a moment ago, or it asked for a rest (503 with Retry-After)
    4  ejected (routing/ejection.py)

If all addresses back off, all of them are candidates: a refusal costs little, and only a connection shows that an address
has returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol, TypeVar

from router.proxy.routing.standing import Standing


class Candidate(Protocol):
    """The attributes of an address that the choice reads."""

    in_flight: int

    @property
    def standing(self) -> Standing:
        """What was seen of it."""


Choice = TypeVar("Choice", bound=Candidate)


def choose(candidates: Sequence[Choice], tried: Sequence[Choice], now_s: float, random: Random) -> Choice | None:
    """Return one of `candidates` that was not `tried`; None if all were."""
    number = len(candidates)
    if not tried and number:
        if number == 1:
            return candidates[0]
        first_at = int(random.random() * number)
        second_at = int(random.random() * (number - 1))
        first, second = candidates[first_at], candidates[second_at + (second_at >= first_at)]
        if first.standing.ready_at_s <= now_s and second.standing.ready_at_s <= now_s:
            return second if second.in_flight < first.in_flight else first
    left = [candidate for candidate in candidates if candidate not in tried]
    if len(left) < 2:
        return left[0] if left else None
    ranks = [candidate.standing.rank(now_s) for candidate in left]
    best = min(ranks)
    awake = [candidate for candidate, rank in zip(left, ranks, strict=True) if rank == best]
    if len(awake) == 1:
        return awake[0]
    first, second = random.sample(awake, 2)
    return second if second.in_flight < first.in_flight else first
