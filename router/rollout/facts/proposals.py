"""Facts of proposals: opened, more evidence, and how they end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

from router.rollout.facts.evidence_time import in_fact
from router.rollout.facts.fact import ALWAYS, FROM, Document, Fact, Number
from router.rollout.facts.versions import VersionFact

ProposalKind = Literal["rollback", "promotion"]


def _in_fact(evidence: Document | None, monotonic_ns: int) -> Document | None:
    """Return the evidence whose trigger has `evidence_since_s`."""
    trigger = evidence.get("trigger") if evidence else None
    found = in_fact(trigger, monotonic_ns)
    return evidence if found is trigger or evidence is None else {**evidence, "trigger": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed(Fact):
    """A proposal was opened. `left`: the active version then; `evidence`: {cause, trigger, alert, impact} of a rollback;
    `verb`: the type of the entry that a promotion becomes.
    """

    TYPE: ClassVar[str] = "proposed"
    proposal: str
    number: int
    kind: ProposalKind
    version: str
    left: str | None = field(default=None, metadata=FROM)
    to: str | None = field(default=None, metadata=ALWAYS)
    reason: str = field(default="", metadata=ALWAYS)
    expire_after_s: Number
    at_expiry: Literal["hold", "rollback"]
    evidence: Document | None = None
    verb: str = ""

    def at_ns(self, monotonic_ns: int) -> Self:
        """Return the fact with `evidence_since_s`."""
        evidence = _in_fact(self.evidence, monotonic_ns)
        return self if evidence is self.evidence else replace(self, evidence=evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceAdded(Fact):
    """A pending proposal has evidence of another cause."""

    TYPE: ClassVar[str] = "evidence_added"
    proposal: str
    version: str | None = None
    evidence: Document

    def at_ns(self, monotonic_ns: int) -> Self:
        """Return the fact with `evidence_since_s`."""
        evidence = _in_fact(self.evidence, monotonic_ns)
        return self if evidence is self.evidence or evidence is None else replace(self, evidence=evidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalEnd(Fact):
    """What all ends of a proposal name: the proposal, its kind and its version."""

    proposal: str
    kind: ProposalKind | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved(VersionFact):
    """An operator has approved a proposal. It has the generation of the switch, so it is effective if and only if that is."""

    TYPE: ClassVar[str] = "approved"
    proposal: str
    kind: ProposalKind | None = None
    version: str | None = None
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied(ProposalEnd):
    """An operator has denied a proposal; its causes are muted for `repeat_after_s`."""

    TYPE: ClassVar[str] = "denied"
    reason: str = field(default="", metadata=ALWAYS)
    repeat_after_s: Number | None = None
    causes: tuple[str, ...] = field(default=(), metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalExpired(ProposalEnd):
    """A proposal was not decided in time, so its default applies: hold, or a rollback that waits for its gate."""

    TYPE: ClassVar[str] = "proposal_expired"
    default: Literal["hold", "rollback"]
    repeat_after_s: Number | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn(ProposalEnd):
    """A proposal is void: the versions have changed."""

    TYPE: ClassVar[str] = "withdrawn"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRefused(Fact):
    """A decision on a proposal was refused."""

    TYPE: ClassVar[str] = "decision_refused"
    proposal: str
    verb: str = field(default="", metadata=ALWAYS)
    code: str = field(default="", metadata=ALWAYS)
    reason: str = field(default="", metadata=ALWAYS)
