"""Commands of the rollout machine (with facts/record.py) and of a record's effects (placement/effects.py), which the executor
carries out. A name is an imperative.
"""

from __future__ import annotations

from dataclasses import dataclass

from router.rollout.model.rewrite import NO_REWRITE, Rewrite
from router.rollout.model.route import Route


@dataclass(frozen=True, slots=True)
class FillSlot:
    """Write the contents of a slot. `fresh`: another version held the slot before, so its counters start at zero."""

    slot: int
    incarnation: int
    version: str
    endpoints: tuple[str, ...]
    fresh: bool
    rewrite: Rewrite = NO_REWRITE


@dataclass(frozen=True, slots=True)
class PublishRoute:
    """Store this route and wake the workers."""

    route: Route


@dataclass(frozen=True, slots=True)
class CutSlot:
    """End every attempt on `slot` that was claimed under `generation` or earlier."""

    slot: int
    generation: int


@dataclass(frozen=True, slots=True)
class CheckStandby:
    """Probe the standby once, now; the result comes back as the event StandbyChecked with this `generation`."""

    version: str
    generation: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class RaiseAlarm:
    """Raise an alarm; a second command for a raised alarm has no effect."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class ClearAlarm:
    """Clear an alarm: its cause is gone."""

    code: str


Effect = FillSlot | PublishRoute | CutSlot | RaiseAlarm
