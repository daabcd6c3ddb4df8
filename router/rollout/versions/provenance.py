"""The origin of a version, and when it was registered, accepted and rolled back. Independent of its state."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from router.rollout.model import entry as entry_types
from router.rollout.model.entry import Entry


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
    data = entry.data
    if placed := data.get("target"):
        return {**known, placed["version"]: _named(known.get(placed["version"]), entry)}
    if entry.type == entry_types.ACCEPTED and (provenance := known.get(data["version"])) is not None:
        return {**known, data["version"]: replace(provenance, accepted_at=entry.at)}
    if entry.type == entry_types.ROLLED_BACK and (provenance := known.get(data["from"])) is not None:
        changes = {"at": entry.at, "incident": data["incident"], "reason": data["reason"]}
        return {**known, data["from"]: replace(provenance, rolled_back=changes)}
    return known


def _named(known: Provenance | None, entry: Entry) -> Provenance:
    provenance = known or Provenance(entry.actor, entry.at)
    changes = {name: entry.data[name] for name in ("artifact", "source") if entry.data.get(name)}
    return replace(provenance, **changes)
