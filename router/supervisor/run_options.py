"""Options of a run beside its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of this run. `reload` reads the settings again; `announce` prints a line for the operator."""

    origin: str
    reload: Callable[[], Settings]
    announce: Callable[[str], None]
    fresh: bool = False
    assume_active: str | None = None
    journal_from: str | None = None
    take_over: bool = False
    """Replace the router that serves from the same state directory (takeover/new_router.py)."""
