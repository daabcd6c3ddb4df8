"""Chooses the endpoint of a target for the next attempt: power of two choices by attempts in flight.

Of two random endpoints the less loaded one is taken. That is nearly as even as comparing all of them, at a constant price
(Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing"). An endpoint that refused a connection backs off. If
all endpoints back off, all are candidates: a refusal costs little, and only a connection shows that an endpoint has returned.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """The attributes of an endpoint that the choice reads."""

    in_flight: int
    backoff_until_s: float


Choice = TypeVar("Choice", bound=Candidate)


def choose(candidates: Collection[Choice], tried: Collection[Choice], now_s: float, random: Random) -> Choice | None:
    """Return one of `candidates` that was not `tried`; None if all were."""
    if len(candidates) == 1 and not tried:
        return next(iter(candidates))
    left = [candidate for candidate in candidates if candidate not in tried]
    awake = [candidate for candidate in left if candidate.backoff_until_s <= now_s] or left
    if len(awake) < 2:
        return awake[0] if awake else None
    first, second = random.sample(awake, 2)
    return second if second.in_flight < first.in_flight else first
