"""Facts of one router: its boots and settings, its drains, its own journal. Other routers never learn of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from router.rollout.facts.fact import ALWAYS, Fact, Number, Scope
from router.rollout.facts.versions import VersionFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted(Fact):
    """A cold start: shared memory is new, and the monotonic clock may have begun again."""

    TYPE: ClassVar[str] = "boot"
    SCOPE: ClassVar[Scope] = Scope.ROUTER
    boot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChanged(Fact):
    """The settings were read again: they have this version."""

    TYPE: ClassVar[str] = "settings_changed"
    SCOPE: ClassVar[Scope] = Scope.ROUTER
    version: Number | None = field(default=None, metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAdded(Fact):
    """The running router got the service by its settings."""

    TYPE: ClassVar[str] = "service_added"
    SCOPE: ClassVar[Scope] = Scope.ROUTER


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRemoved(Fact):
    """The service was removed from the settings of the running router."""

    TYPE: ClassVar[str] = "service_removed"
    SCOPE: ClassVar[Scope] = Scope.ROUTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained(VersionFact):
    """`version` has ended its last request. Entries of older releases name it in `freed`."""

    TYPE: ClassVar[str] = "drained"
    SCOPE: ClassVar[Scope] = Scope.ROUTER
    version: str | None = None
    freed: tuple[str, ...] = ()
    after_s: Number = field(default=0.0, metadata=ALWAYS)

    @property
    def versions(self) -> tuple[str, ...]:
        """The version, or those of an older entry."""
        return self.freed if self.version is None else (self.version,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainCut(Fact):
    """The remaining requests of a version were cut."""

    TYPE: ClassVar[str] = "drain_cut"
    SCOPE: ClassVar[Scope] = Scope.ROUTER
    version: str
    after_s: Number = field(default=0.0, metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned(Fact):
    """The entry with this number never took effect."""

    TYPE: ClassVar[str] = "abandoned"
    SCOPE: ClassVar[Scope] = Scope.ROUTER
    abandons: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtDecided(Fact):
    """The outcome of a change that the previous control left in doubt: its number, its type, its actor."""

    TYPE: ClassVar[str] = "doubt_decided"
    SCOPE: ClassVar[Scope] = Scope.ROUTER
    change: int
    kind: str = field(default="", metadata={"alias": "type", "always": True})
    by: str = field(default="", metadata=ALWAYS)
    outcome: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Fact):
    """The journal was begun from the copy of a damaged one."""

    TYPE: ClassVar[str] = "imported"
    SCOPE: ClassVar[Scope] = Scope.ROUTER
    copy: str
    entries: int = field(default=0, metadata=ALWAYS)
