"""What is to be done, in the imperative: everything that the rollout machine asks its performer for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router.rollout.model.route import Route


@dataclass(frozen=True, slots=True)
class Record:
    """Write a fact to the journal and fold it into the registry."""

    type: str
    actor: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FillSlot:
    """Write the contents of a slot. `fresh`: another version was in it, so it counts from zero."""

    slot: int
    incarnation: int
    version: str
    endpoints: tuple[str, ...]
    fresh: bool


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
    """Probe the standby once, now; the answer comes back as StandbyChecked with this `generation`."""

    slot: int
    generation: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class RaiseAlarm:
    """Tell people; raised once, however often it is asked for."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class ClearAlarm:
    """The cause is gone."""

    code: str


Command = Record | FillSlot | PublishRoute | CutSlot | CheckStandby | RaiseAlarm | ClearAlarm
