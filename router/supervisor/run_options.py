"""How a run was asked for, beside its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from router.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How this run was asked for. `reload` reads the settings again; `announce` shows a line to the person who started us."""

    origin: str
    reload: Callable[[], Settings]
    announce: Callable[[str], None]
    fresh: bool = False
    assume_active: str | None = None
    journal_from: str | None = None
    take_over: bool = False
    """Take the place of the router that serves from the same state directory (take_over.py)."""
