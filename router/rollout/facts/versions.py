"""Facts that change versions: their states, roles, endpoints, quarantines. What all of them have in common is VersionFact."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from router.rollout.facts.fact import ALWAYS, FROM, Document, Fact, Number
from router.rollout.model.identity import Identity
from router.rollout.model.rewrite import Rewrite
from router.rollout.model.target import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A version that comes in or moves. `rewrite` is None if it stays as it is, or is that of a new version without one."""

    version: str
    endpoints: tuple[str, ...]
    rewrite: Rewrite | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the placement as plain data."""
        rewrite = {} if self.rewrite is None else {"rewrite": self.rewrite.as_dict()}
        return {"version": self.version, "endpoints": list(self.endpoints), **rewrite}


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideBy:
    """The operator who has overridden an objection, and why."""

    actor: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return the override as plain data."""
        return {"actor": self.actor, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFact(Fact):
    """A change of versions. It has the new state of every version that it changes, so it does not depend on earlier facts.

    `generation`: the route that goes with it, if there are `states`; these are empty if only the route is new, and None if
    there is no route. `base`: the generation on which the decision was made. `bounded`: versions whose drain is cut after
    rollback_drain_timeout_s. `quarantine`: {version: {reason, incident}}; one that returns has its `actor` and `at`, too.
    `release`: versions released from quarantine. `lifted_for_s`: the seconds after which a quarantine returns, by version.
    `identity`: who answered the probe of a version. `artifact` and `source`: the origin of the version of `target`. `forced`: the
    changes of state are not checked (shared memory that outlived control; an assumption of the operator).
    """

    generation: int | None = None
    base: int | None = None
    states: dict[str, State] | None = None
    target: Placement | None = None
    bounded: tuple[str, ...] = ()
    quarantine: dict[str, Document] = field(default_factory=dict)
    release: tuple[str, ...] | None = None
    lifted_for_s: dict[str, Number] = field(default_factory=dict)
    identity: dict[str, Identity] = field(default_factory=dict)
    artifact: str | None = None
    source: str | None = None
    forced: bool = False
    reason: str = ""
    incident: str | None = None
    override: OverrideBy | None = None

    @property
    def publishes(self) -> bool:
        """Whether a route goes with it."""
        return self.states is not None and self.generation is not None

    @property
    def new_states(self) -> dict[str, State]:
        """The new states by version; empty if it changes none."""
        return self.states or {}

    @property
    def released(self) -> tuple[str, ...]:
        """The versions that it releases from quarantine."""
        return self.release or ()

    @property
    def activated(self) -> str | None:
        """The version that it makes active, or None."""
        return next((version for version, state in self.new_states.items() if state is State.ACTIVE), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded(VersionFact):
    """A version came in by the settings."""

    TYPE: ClassVar[str] = "seeded"
    automatic_left: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(VersionFact):
    """A version was registered, or its origin corrected."""

    TYPE: ClassVar[str] = "version_registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed(VersionFact):
    """A version was deployed as candidate. `replaced`: the candidate that it replaces."""

    TYPE: ClassVar[str] = "version_deployed"
    replaced: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(VersionFact):
    """A candidate is ready."""

    TYPE: ClassVar[str] = "version_verified"
    good_probes: int = field(default=0, metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified(VersionFact):
    """The server of a version in service is known by its probe's answer."""

    TYPE: ClassVar[str] = "version_identified"
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(VersionFact):
    """A candidate was not ready in time."""

    TYPE: ClassVar[str] = "version_failed"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired(VersionFact):
    """A version was retired. `cut`: its requests are ended; `version`: it drained already, and only its requests are ended."""

    TYPE: ClassVar[str] = "retired"
    version: str | None = None
    cut: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsMoved(VersionFact):
    """A version has other endpoints than `former`, or another rewrite."""

    TYPE: ClassVar[str] = "endpoints_moved"
    former: tuple[str, ...] = field(default=(), metadata=FROM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined(VersionFact):
    """An operator has quarantined a version."""

    TYPE: ClassVar[str] = "quarantined"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released(VersionFact):
    """An operator has released a version from quarantine."""

    TYPE: ClassVar[str] = "released"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineReturned(VersionFact):
    """The time for which a quarantine was lifted is over."""

    TYPE: ClassVar[str] = "quarantine_returned"
    reason: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionAccepted(Fact):
    """The active version was accepted, with its first baseline."""

    TYPE: ClassVar[str] = "accepted"
    version: str
    baseline: Document | None = field(default=None, metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineEstimated(Fact):
    """The baseline of the accepted version was estimated again."""

    TYPE: ClassVar[str] = "baseline"
    version: str | None = None
    baseline: Document | None = field(default=None, metadata=ALWAYS)
