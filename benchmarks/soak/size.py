"""How much of everything, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything; `seconds` is the length of what is measured (twice that beside idle connections)."""

    seconds: float
    idle: int
    busy: int
    busy_per_s: float
    body_bytes: int
    streams: int
    stream_interval_ms: int
    requests_per_s: float
    hung_per_s: float
    well_per_s: float
    settle_s: float
    """Streams begin and end so long before and after what is measured beside them."""
    gap_excess_ms_max: float
    noise_ms: float
    """Two p99s that differ by less are the same."""


FULL: Final = Size(60.0, 10_000, 2_000, 4_000.0, 4 << 30, 1_000, 1_000, 5_000.0, 50.0, 500.0, 4.0, 500.0, 1.0)
QUICK: Final = Size(1.0, 500, 100, 500.0, 64 << 20, 50, 200, 500.0, 50.0, 200.0, 1.0, 5000.0, 500.0)


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: `limit` is what it may be at most, None if it is only told."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def held(self) -> bool:
        return self.limit is None or self.value <= self.limit

    def as_row(self) -> list[Any]:
        bound = "" if self.limit is None else f"≤ {self.limit:g}"
        word = "" if self.limit is None else ("held" if self.held else "NOT held")
        return [
            self.what,
            f"{self.value:,.5g}" if abs(self.value) < 1000 else f"{self.value:,.0f}",
            self.unit,
            bound,
            word,
        ]
