"""How often something happens that was counted a few times: exact bounds of a Poisson rate (Garwood, 1936)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_PRECISION: Final = 1e-9


def bounds(count: int, confidence: float) -> tuple[float, float]:
    """Return (lower, upper): each bound of the expected number is wrong with probability 1 − `confidence` at most.

    Of nothing seen the upper bound is −ln(1 − confidence): about 3 at 95 %.
    """
    alpha = 1 - confidence
    lower = 0.0 if count == 0 else _solve(lambda mean: 1 - _at_most(count - 1, mean), alpha, count)
    upper = _solve(lambda mean: 1 - _at_most(count, mean), 1 - alpha, count)
    return lower, upper


def _at_most(count: int, mean: float) -> float:
    """Return the probability of `count` or fewer events where `mean` are expected."""
    if mean <= 0:
        return 1.0
    terms = (math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in range(count + 1))
    return min(1.0, math.fsum(terms))


def _solve(share: Callable[[float], float], target: float, count: int) -> float:
    """Return the mean at which `share`, which grows with it, reaches `target`."""
    low, high = 0.0, 10.0 + 4 * count
    while high - low > _PRECISION * (1 + high):
        middle = (low + high) / 2
        if share(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
