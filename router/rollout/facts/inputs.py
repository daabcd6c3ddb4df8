"""Facts about the inputs of a service: its reference, and their drift."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from router.rollout.facts.fact import ALWAYS, Document, Fact, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsLearned(Fact):
    """The reference of the inputs was learned."""

    TYPE: ClassVar[str] = "inputs_learned"
    reference: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class InputsForgotten(Fact):
    """An operator has deleted the reference."""

    TYPE: ClassVar[str] = "inputs_forgotten"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDrift(Fact):
    """The requests to a version have drifted from the reference, or match it again. The rest: the worst finding, at the begin."""

    TYPE: ClassVar[str] = "input_drift"
    state: Literal["began", "over"]
    version: str | None = field(default=None, metadata=ALWAYS)
    action: str | None = None
    reason: str | None = None
    field_name: str | None = field(default=None, metadata={"alias": "field"})
    what: str | None = None
    share: Number | None = None
    limit: Number | None = None
    usual: Number | None = None
    samples: int | None = None
