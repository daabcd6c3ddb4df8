"""The bounds of the numbers in [services.NAME.rules], by what a name ends in.

A rule beyond them blames every version, or none: with slo_ms = -1 every answer is late.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Final

from router.settings.sections.values import Breach

Place = tuple[str | int, ...]

_WINDOWS: Final = ("window_s", "windows_s", "long_s", "short_s")
_POSITIVE: Final = (*_WINDOWS, "_ms", "_factor", "hang_after_s", "hang_after_min_s", "hang_after_max_s")
_SHARES: Final = ("_share", "_share_max", "rate_floor", "rate_floor_without_baseline")


def out_of_bounds(rules: Any, place: Place) -> Iterator[Breach]:
    """Yield a breach for each number that no trigger can use. `place` is that of the rules in the settings."""
    for field in fields(rules):
        yield from _wrong(field.name, getattr(rules, field.name), (*place, field.name))


def _wrong(name: str, value: Any, place: Place) -> Iterator[Breach]:
    if is_dataclass(value):
        yield from out_of_bounds(value, place)
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _wrong(name, item, (*place, number))
    elif isinstance(value, (int, float)) and (bound := _bound(name, value)):
        yield Breach(place, f"it is {value:g}, and must be {bound}")


def _bound(name: str, value: float) -> str:
    """Return what the number must be; empty if it is that."""
    if not math.isfinite(value):
        return "a number, neither nan nor inf"
    if name.endswith("confidence"):
        return "" if 0 < value < 1 else "between 0 and 1"
    if name.endswith(_SHARES):
        return "" if 0 <= value <= 1 else "a share: from 0 to 1"
    if name.endswith(_POSITIVE):
        return "" if value > 0 else "more than 0"
    return "" if value >= 0 else "at least 0"
