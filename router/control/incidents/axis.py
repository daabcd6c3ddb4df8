"""One axis of a chart: maps values to pixels, and chooses the ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_LINEAR_RATIO_MAX: Final = 30.0
"""If the largest and the smallest value differ by a larger factor, the axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Axis:
    """`low` lies at `start` (pixels), `high` at `end`; `ticks` are (value, label)."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the pixel of `value`. A value outside of the axis lies at its edge."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.logarithmic else (self.low, self.high)
        value = math.log10(max(value, self.low)) if self.logarithmic else value
        share = (value - low) / (high - low)
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)


def time_axis(since_s: float, until_s: float, start: float, end: float) -> Axis:
    """Return the axis of seconds before and after the decision."""
    step = next((step for step in _STEPS_S if (until_s - since_s) / step <= 9), _STEPS_S[-1])
    first = math.ceil(since_s / step) * step
    ticks = tuple((float(at), _time(at)) for at in range(int(first), int(until_s) + 1, step))
    return Axis(since_s, until_s, start, end, ticks)


def _time(at_s: int) -> str:
    sign = "−" if at_s < 0 else "+" if at_s else ""
    size = abs(at_s)
    if size >= 120 and size % 60 == 0:
        return f"{sign}{size // 60} min"
    return f"{sign}{size} s" if size else "0"


def value_axis(values: list[float], start: float, end: float, high_min: float = 1.0) -> Axis:
    """Return an axis from zero to a round number above all `values`, and at least `high_min`."""
    high = max([*values, high_min])
    step = _round_step(high / 4)
    top = math.ceil(high / step - 1e-9) * step
    number = round(top / step)
    return Axis(0.0, top, start, end, tuple((index * step, written(index * step)) for index in range(number + 1)))


def spread_axis(values: list[float], start: float, end: float) -> Axis:
    """Return an axis for positive values: logarithmic if they differ much, else from zero."""
    above = [value for value in values if value > 0]
    if not above or max(above) / min(above) <= _LINEAR_RATIO_MAX:
        return value_axis(above, start, end)
    low, high = math.floor(math.log10(min(above))), math.ceil(math.log10(max(above)))
    every = max(1, (high - low) // 4)
    ticks = tuple((10.0**power, written(10.0**power)) for power in range(low, high + 1, every))
    return Axis(10.0**low, 10.0**high, start, end, ticks, logarithmic=True)


def _round_step(least: float) -> float:
    power = 10 ** math.floor(math.log10(least))
    return float(next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9)))


def written(value: float) -> str:
    """Return the label of a tick."""
    if value >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.4g}"
