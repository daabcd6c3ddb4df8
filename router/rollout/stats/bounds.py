"""Exact one-sided confidence bounds: of a share, k of n (Clopper and Pearson, 1934), and of an expected number of events
(Poisson). Standard library only.

Wilson's lower bound is too high for few faults: for 5 of 50 against 2 % it raises a false alarm in one of 270 windows, where
99.9 % confidence means one of 1,000. Rollbacks are decided on few faults, so the bounds are exact.

`k` may be fractional (weighted faults): the regularised incomplete beta function is defined between the whole numbers.
`tests/rollout/stats/test_bounds.py` compares everything with scipy.

Why: docs/decisions.md#exact-bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_PRECISION: Final = 1e-12

_TINY: Final = 1e-300

_STEPS_MAX: Final = 100_000
"""The continued fraction takes about √n steps; this is enough for n = 10^9."""


def at_least(k: float, n: float, p: float) -> float:
    """Return the probability of k or more successes in n trials of probability p."""
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    return _beta(k, n - k + 1, p)


def is_above(k: float, n: float, limit: float, confidence: float) -> bool:
    """Return whether the share behind k of n is above `limit` with this confidence (its lower bound is above it).

    Two cheap tests come first: the share is not above the limit; or it is far above the limit by Chernoff's bound
    (P ≤ e^(−n·KL)). Only a share between them needs the incomplete beta function.
    """
    if n <= 0 or k <= 0 or k <= limit * n:
        return False
    if limit <= 0:
        return True
    share = min(k / n, 1.0)
    divergence = share * math.log(share / limit)
    if share < 1.0:
        divergence += (1 - share) * math.log((1 - share) / (1 - limit))
    alpha = 1 - confidence
    return n * divergence > -math.log(alpha) or at_least(min(k, n), n, limit) < alpha


def lower_bound(k: float, n: float, confidence: float) -> float:
    """Return the p below which k or more of n would be rarer than 1 − confidence; 0 for k = 0."""
    if k <= 0 or n <= 0:
        return 0.0
    return _solve(k, n - k + 1, 1 - confidence)


def upper_bound(k: float, n: float, confidence: float) -> float:
    """Return the p above which k or fewer of n would be rarer than 1 − confidence; 1 for k = n."""
    if k >= n:
        return 1.0
    return _solve(k + 1, n - k, confidence)


def _solve(a: float, b: float, target: float) -> float:
    """Return x with I_x(a, b) = target, by bisection: I grows with x."""
    low, high = 0.0, 1.0
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        if _beta(a, b, middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) (NIST DLMF 8.17.22, and 8.17.4 where it converges faster)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    factor = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return factor * _fraction(a, b, x) / a
    return 1 - factor * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of I_x(a, b), by the modified algorithm of Lentz."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _STEPS_MAX):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < _PRECISION:
            return result
    raise ArithmeticError(f"no convergence for I_{x}({a}, {b})")


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


_RATE_PRECISION: Final = 1e-9


def bounds(count: int, confidence: float) -> tuple[float, float]:
    """Return (lower, upper) of the expected number of events; each bound is wrong with probability 1 − `confidence` at most.

    For a count of 0 the upper bound is −ln(1 − confidence): about 3 at 95 %.
    """
    alpha = 1 - confidence
    lower = 0.0 if count == 0 else _solve_rate(lambda mean: 1 - _at_most(count - 1, mean), alpha, count)
    upper = _solve_rate(lambda mean: 1 - _at_most(count, mean), 1 - alpha, count)
    return lower, upper


def _at_most(count: int, mean: float) -> float:
    """Return the probability of `count` or fewer events where `mean` are expected."""
    if mean <= 0:
        return 1.0
    terms = (math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in range(count + 1))
    return min(1.0, math.fsum(terms))


def _solve_rate(share: Callable[[float], float], target: float, count: int) -> float:
    """Return the mean at which `share`, which grows with it, reaches `target`."""
    low, high = 0.0, 10.0 + 4 * count
    while high - low > _RATE_PRECISION * (1 + high):
        middle = (low + high) / 2
        if share(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
