"""Facts of switches: another version became active. And what follows them: the confirmation, a standby that is back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from router.rollout.facts.evidence_time import in_fact
from router.rollout.facts.fact import ALWAYS, FROM, MAYBE_FROM, Document, Fact, Number
from router.rollout.facts.versions import VersionFact


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchFact(VersionFact):
    """Another version became active: `to` instead of `left`, which is None if there was none. `proposal`: the approved one."""

    to: str = field(default="", metadata=ALWAYS)
    left: str | None = field(default=None, metadata=FROM)
    reason: str = field(default="", metadata=ALWAYS)
    proposal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted(SwitchFact):
    """An operator has promoted a version."""

    TYPE: ClassVar[str] = "promoted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched(SwitchFact):
    """An operator has switched to a version."""

    TYPE: ClassVar[str] = "switched"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack(SwitchFact):
    """The active version was rolled back. `automatic`: by a verdict; `unreachable`: as unreachable, and without a quarantine.

    `trigger`: the result of the trigger that failed, with `evidence_since_s`; `evidence`: the impact so far.
    """

    TYPE: ClassVar[str] = "rolled_back"
    automatic: bool = field(default=False, metadata=ALWAYS)
    trigger: Document | None = field(default=None, metadata=ALWAYS)
    evidence: Document | None = field(default=None, metadata=ALWAYS)
    unreachable: bool = field(default=False, metadata=ALWAYS)

    def at_ns(self, monotonic_ns: int) -> Self:
        """Return the fact with `evidence_since_s`."""
        trigger = in_fact(self.trigger, monotonic_ns)
        return self if trigger is self.trigger else replace(self, trigger=trigger)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(VersionFact):
    """The roles of shared memory, which outlived control, or those that an operator assumes after damage of the journal.

    `left`, `to`, `automatic` and `incident` are set if a rollback was stored and not journalled.
    """

    TYPE: ClassVar[str] = "recovered"
    left: str | None = field(default=None, metadata=MAYBE_FROM)
    to: str | None = None
    automatic: bool | None = None
    automatic_left: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyRestored(VersionFact):
    """An unreachable version answers again and is the standby."""

    TYPE: ClassVar[str] = "standby_restored"
    good_probes: int = field(default=0, metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed(Fact):
    """The workers have followed a route, or have not in time. `workers_ms`: [worker, milliseconds after the store]."""

    TYPE: ClassVar[str] = "confirmed"
    generation: int
    swap_us: Number | None = field(default=None, metadata=ALWAYS)
    confirmed_ms: Number | None = field(default=None, metadata=ALWAYS)
    workers_unconfirmed: tuple[int, ...] = field(default=(), metadata=ALWAYS)
    workers_ms: tuple[tuple[int, Number], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBetterTarget(Fact):
    """A rollback is due and blocked: the active version fails, and `obstacles` say why the standby is no better."""

    TYPE: ClassVar[str] = "no_better_target"
    active: str | None
    obstacles: tuple[str, ...]
    trigger: Document | None = field(default=None, metadata=ALWAYS)

    def at_ns(self, monotonic_ns: int) -> Self:
        """Return the fact with `evidence_since_s`."""
        trigger = in_fact(self.trigger, monotonic_ns)
        return self if trigger is self.trigger else replace(self, trigger=trigger)
