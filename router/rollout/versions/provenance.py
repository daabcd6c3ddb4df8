"""The origin of a version, and when it was registered, accepted and rolled back. Independent of its state."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from router.rollout.facts.entry import Entry
from router.rollout.facts.switches import RolledBack
from router.rollout.facts.versions import VersionAccepted, VersionFact


@dataclass(frozen=True, slots=True)
class Provenance:
    """`artifact` is the URI of the model's files, `source` the registry's name for it (`models:/fraud/3`); either may be
    None. Times are wall seconds. `rolled_back` is `{at, incident, reason}` of the last rollback from this version.
    """

    registered_by: str
    registered_at: float
    artifact: str | None = None
    source: str | None = None
    accepted_at: float | None = None
    rolled_back: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def provenances_after(known: dict[str, Provenance], entry: Entry) -> dict[str, Provenance]:
    """Return the provenances after `entry`; `known` itself if the entry changes none."""
    fact = entry.fact
    if isinstance(fact, VersionFact) and fact.target is not None:
        version = fact.target.version
        provenance = known.get(version) or Provenance(entry.actor, entry.at)
        artifact, source = fact.artifact or provenance.artifact, fact.source or provenance.source
        return {**known, version: replace(provenance, artifact=artifact, source=source)}
    if isinstance(fact, VersionAccepted) and fact.version in known:
        return {**known, fact.version: replace(known[fact.version], accepted_at=entry.at)}
    if isinstance(fact, RolledBack) and fact.left is not None and fact.left in known:
        changes = {"at": entry.at, "incident": fact.incident, "reason": fact.reason}
        return {**known, fact.left: replace(known[fact.left], rolled_back=changes)}
    return known
