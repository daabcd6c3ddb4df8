"""Facts about the regression cases of a service."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from router.rollout.facts.fact import ALWAYS, Fact, Number
from router.rollout.units import SECOND_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesFrozen(Fact):
    """The cases of an incident so far: `seen` failing requests of `version`, the ids of the `cases` made of them.

    `left_out`: why others made none, and how many; older entries do not have it. `window_s`: how long before the decision
    requests count. `until_s`: up to how many seconds before this fact requests were read. `late`: those that ended later than
    4 s after the decision. `until_ns`: in entries of older releases, the monotonic time that is now `until_s`.
    """

    TYPE: ClassVar[str] = "cases_frozen"
    incident: str
    version: str
    seen: int
    cases: tuple[str, ...] = field(default=(), metadata=ALWAYS)
    dropped: int = field(default=0, metadata=ALWAYS)
    refused: int = field(default=0, metadata=ALWAYS)
    left_out: dict[str, int] | None = None
    window_s: Number | None = None
    until_s: Number | None = None
    late: int = 0
    until_ns: int | None = None

    def at_ns(self, monotonic_ns: int) -> Self:
        """Return the fact with `until_s`."""
        if self.until_ns is None:
            return self
        return replace(self, until_ns=None, until_s=(monotonic_ns - self.until_ns) / SECOND_NS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CasesChecked(Fact):
    """All cases were checked on a version, with this revision of the suite. `deployment`: the generation of the version's last
    deployment. `failing`: ids of the first cases that failed.
    """

    TYPE: ClassVar[str] = "cases_checked"
    version: str
    deployment: int | None = None
    revision: str = field(default="", metadata=ALWAYS)
    cases: int = field(default=0, metadata=ALWAYS)
    passed: int = field(default=0, metadata=ALWAYS)
    failed: int = field(default=0, metadata=ALWAYS)
    failing: tuple[str, ...] = field(default=(), metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteExtended(Fact):
    """An operator has added cases: the ids that are new, were known, and were dropped to make room."""

    TYPE: ClassVar[str] = "cases_added"
    added: tuple[str, ...] = field(default=(), metadata=ALWAYS)
    known: tuple[str, ...] = field(default=(), metadata=ALWAYS)
    dropped: tuple[str, ...] = field(default=(), metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReduced(Fact):
    """Cases were removed by an operator, or have expired."""

    TYPE: ClassVar[str] = "cases_removed"
    count: int = field(default=0, metadata=ALWAYS)
    cases: tuple[str, ...] = ()
    why: str = field(default="", metadata=ALWAYS)
