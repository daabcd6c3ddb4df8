"""How short durations are written for people: on pages of incidents and in messages alike."""

from __future__ import annotations

from router.rollout.incidents.causes import spoken


def seconds(value: float) -> str:
    """Return a duration given in seconds: `41 ms`, `1.5 s`, `7 min 5 s`."""
    return spoken(value) if value >= 0.95 else f"{value * 1000:.0f} ms"


def micros(value: float) -> str:
    """Return a duration given in microseconds: `85 µs`, `14 ms`."""
    return f"{value:.0f} µs" if value < 10_000 else seconds(value / 1e6)


def millis(value: float) -> str:
    """Return a duration given in milliseconds: `3.25 ms`, `1.5 s`."""
    return f"{value:.3g} ms" if value < 950 else spoken(value / 1000)
