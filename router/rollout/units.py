"""Units of time: all times in decisions are monotonic nanoseconds."""

from __future__ import annotations

from typing import Final

SECOND_NS: Final = 1_000_000_000
