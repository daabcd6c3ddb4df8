"""Facts by which operators steer automation: freeze and criteria of acceptance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from router.rollout.facts.fact import ALWAYS, Fact, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen(Fact):
    """Automation was frozen."""

    TYPE: ClassVar[str] = "frozen"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfrozen(Fact):
    """Automation was enabled again."""

    TYPE: ClassVar[str] = "unfrozen"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionFact(Fact):
    """The limit of a metric as a criterion of acceptance. `origin`: the incident or the operator that it comes from."""

    metric: str
    limit: Number
    origin: str = field(default="", metadata=ALWAYS)
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionLearned(CriterionFact):
    """A rollback has added a criterion. It never raises a limit."""

    TYPE: ClassVar[str] = "criterion_added"


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionChosen(CriterionFact):
    """An operator has set a criterion."""

    TYPE: ClassVar[str] = "criterion_set"


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionDropped(CriterionFact):
    """An operator has removed a criterion."""

    TYPE: ClassVar[str] = "criterion_removed"
