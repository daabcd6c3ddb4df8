"""Facts of drills: the swap to the standby and back, on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, Final, Literal, Self

from router.rollout.facts.fact import ALWAYS, FROM, Document, Fact, Number, parsed, validated
from router.rollout.facts.versions import VersionFact

DrillResult = Literal["passed", "stopped", "aborted", "failed", "refused", "stayed", "overtaken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillFact(Fact):
    """The plan of a drill: which versions it swaps, who asked for it, and how long the standby serves."""

    drill: str
    mode: Literal["real", "shadow"] = field(default="real", metadata=ALWAYS)
    by: str = field(default="", metadata=ALWAYS)
    reason: str = field(default="", metadata=ALWAYS)
    left: str = field(default="", metadata=FROM)
    to: str = field(default="", metadata=ALWAYS)
    hold_s: Number = field(default=0.0, metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillStarted(DrillFact):
    """A drill has begun."""

    TYPE: ClassVar[str] = "drill_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSwitched(VersionFact):
    """A drill has swapped the roles: `to` became active instead of `left`. `home`: back to the version from before the drill."""

    TYPE: ClassVar[str] = "drill_switched"
    drill: str
    to: str
    left: str | None = field(default=None, metadata=FROM)
    home: bool = field(default=False, metadata=ALWAYS)
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillEnded(DrillFact):
    """A drill is over. `measurements`: what was measured; they are members of the entry like the others."""

    TYPE: ClassVar[str] = "drill_ended"
    result: DrillResult
    reasons: tuple[str, ...] = field(default=(), metadata=ALWAYS)
    measurements: Document = field(default_factory=dict)

    @classmethod
    def from_data(cls, data: Document) -> Self:
        """Return the fact of JSON data; every member without a field of its own is a measurement."""
        own = {member: data[member] for member in _ENDED if member in data}
        measured = {member: value for member, value in data.items() if member not in _ENDED}
        return validated(cls, {**own, "measurements": measured})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the fact of a JSON text."""
        return cls.from_data(parsed(cls.TYPE, text))

    def to_data(self) -> Document:
        """Return the members as JSON data, the measurements among them."""
        data = Fact.to_data(self)
        measurements: Document = data.pop("measurements", {})
        return dict(sorted((data | measurements).items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRefused(DrillFact):
    """A drill of the schedule was not begun. `codes`: why, as codes of refusals."""

    TYPE: ClassVar[str] = "drill_refused"
    result: DrillResult = field(default="refused", metadata=ALWAYS)
    reasons: tuple[str, ...] = field(default=(), metadata=ALWAYS)
    codes: tuple[str, ...] = ()


_ENDED: Final = frozenset({"from", *(member.name for member in fields(DrillEnded))} - {"left", "measurements"})
"""The members with a field of their own."""
