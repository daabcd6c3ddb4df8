"""Which endpoint of a target takes the next attempt: power of two choices by attempts in flight.

Two random endpoints, the less loaded one: nearly as even as asking all of them, at a constant price (Mitzenmacher 2001,
"The Power of Two Choices in Randomized Load Balancing"). An endpoint that refused rests with back-off; if all rest, all are
asked, because a refusal costs little and an answer is what shows that one has come back.
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """What the choice looks at."""

    in_flight: int
    resting_until_s: float


Choice = TypeVar("Choice", bound=Candidate)


def choose(candidates: Collection[Choice], tried: Collection[Choice], now_s: float, random: Random) -> Choice | None:
    """Return one of `candidates` that was not `tried`; None if all were."""
    if len(candidates) == 1 and not tried:
        return next(iter(candidates))
    left = [candidate for candidate in candidates if candidate not in tried]
    awake = [candidate for candidate in left if candidate.resting_until_s <= now_s] or left
    if len(awake) < 2:
        return awake[0] if awake else None
    first, second = random.sample(awake, 2)
    return second if second.in_flight < first.in_flight else first
