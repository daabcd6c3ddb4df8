"""A token bucket (RFC 2697's meter): so many at once, then so many per time."""

from __future__ import annotations


class TokenBucket:
    """Holds up to `burst` tokens and is full at first; it gains `per_s` a second. Times are monotonic seconds."""

    def __init__(self, burst: float, per_s: float, now_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._tokens = burst
        self._at_s = now_s

    def resize(self, burst: float, per_s: float) -> None:
        """Change the limits; the tokens stay, as far as the next `take` finds room for them."""
        self._burst, self._per_s = burst, per_s

    def take(self, count: float, now_s: float) -> float:
        """Take `count` tokens and return 0.0; take none, and return the seconds until there are so many, if there are fewer."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if count > self._tokens:
            return (count - self._tokens) / self._per_s
        self._tokens -= count
        return 0.0
