"""The updates that MLflow must still receive: a fold of the journal, so a restart loses none.

A version has at most one pending update; a later one is merged into it. A rollback, a quarantine or a release begins an update.
The entry `mlflow_told` or `mlflow_given_up` with its `token` ends it. An override of a version of a registry is a release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from router.rollout.facts.entry import Entry
from router.rollout.facts.mlflow import MlflowFact
from router.rollout.facts.switches import Promoted, Recovered, RolledBack, Switched
from router.rollout.facts.versions import Deployed, VersionFact
from router.rollout.versions import model_uri
from router.rollout.versions.model_uri import ModelUri
from router.rollout.versions.provenance import Provenance

PENDING_UPDATES_MAX: Final = 1000
"""Pending updates of the whole router; beyond it the oldest is dropped and MLflow does not receive it."""
REASON_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class PendingUpdate:
    """One update: write `tags` to `model`. If `serves` is not None and the service's alias still points to `model`,
    move the alias to that number. `at` is the time of the rollback or quarantine, `since` the start of the update (wall
    seconds).

    `token` is the time of the entry that began it. Entries of older releases end it by `stamp`: boot and monotonic time.
    """

    service: str
    version: str
    token: str
    model: ModelUri
    tags: tuple[tuple[str, str], ...]
    serves: str | None
    at: float
    since: float
    stamp: str


class PendingUpdates:
    """The pending updates by service and version."""

    def __init__(self, open_max: int = PENDING_UPDATES_MAX) -> None:
        self._open_max = open_max
        self.open: dict[tuple[str, str], PendingUpdate] = {}

    def releases(self, service: str, version: str) -> bool:
        """Return whether MLflow has not received yet that the quarantine of a version was lifted here."""
        update = self.open.get((service, version))
        return update is not None and dict(update.tags).get(model_uri.TAG_QUARANTINED) == "false"

    def remove(self, update: PendingUpdate) -> None:
        """Remove an update, unless a newer one has replaced it."""
        key = (update.service, update.version)
        if self.open.get(key) == update:
            del self.open[key]

    def apply(self, entry: Entry, provenances: Mapping[str, Provenance]) -> None:
        """Apply one entry; `provenances` are those of its service."""
        fact = entry.fact
        if isinstance(fact, MlflowFact):
            key = (entry.service, fact.version)
            known = self.open.get(key)
            if known is not None and fact.token in (known.token, known.stamp):
                del self.open[key]
            return
        for update in _updates_of(entry, fact, provenances) if isinstance(fact, VersionFact) else ():
            key = (update.service, update.version)
            earlier = self.open.pop(key, None)
            if earlier is not None:
                update = _merged(earlier, update)
            self.open[key] = update
        while len(self.open) > self._open_max:
            del self.open[next(iter(self.open))]


def _merged(earlier: PendingUpdate, later: PendingUpdate) -> PendingUpdate:
    """Return the later update with the tags of the former one that it does not set."""
    tags = dict(earlier.tags) | dict(later.tags)
    at = later.at if model_uri.TAG_REASON in dict(later.tags) else earlier.at
    return replace(later, tags=tuple(tags.items()), serves=later.serves or earlier.serves, at=at)


def _updates_of(entry: Entry, fact: VersionFact, provenances: Mapping[str, Provenance]) -> list[PendingUpdate]:
    quarantines = fact.quarantine
    tags_by_version = {
        version: _quarantine_tags(quarantine["reason"], quarantine["incident"], True)
        for version, quarantine in quarantines.items()
    }
    tags_by_version |= {version: {model_uri.TAG_QUARANTINED: "false"} for version in _released(fact)}
    if isinstance(fact, RolledBack) and fact.left is not None:
        tags_by_version[fact.left] = _quarantine_tags(fact.reason, fact.incident, fact.left in quarantines)
    found = []
    for version, tags in tags_by_version.items():
        if (model := _model(provenances, version)) is None:
            continue
        serving = _model(provenances, _serves(fact)) if version in quarantines or model_uri.TAG_REASON in tags else None
        number = serving.number if serving is not None and serving.name == model.name else None
        token, stamp = f"{entry.at:.6f}", f"{entry.boot}-{entry.monotonic_ns}"
        at = quarantines.get(version, {}).get("at", entry.at)
        found.append(
            PendingUpdate(entry.service, version, token, model, tuple(tags.items()), number, at, entry.at, stamp)
        )
    return found


def _released(fact: VersionFact) -> list[str]:
    """Return the versions whose quarantine the fact lifts. An override lifts also a quarantine that only the registry has."""
    released = list(fact.released)
    if fact.override is None:
        return released
    if isinstance(fact, Promoted | Switched):
        released += [] if fact.to in released else [fact.to]
    elif isinstance(fact, Deployed) and fact.target is not None and fact.target.version not in released:
        released.append(fact.target.version)
    return released


def _quarantine_tags(reason: str, incident: str | None, quarantined: bool) -> dict[str, str]:
    return {
        model_uri.TAG_REASON: str(reason)[:REASON_CHARS_MAX],
        model_uri.TAG_INCIDENT: incident or "",
        model_uri.TAG_QUARANTINED: "true" if quarantined else "false",
    }


def _serves(fact: VersionFact) -> str | None:
    """Return the version that a rollback made active; also for a rollback recovered from shared memory."""
    return fact.activated if isinstance(fact, RolledBack | Recovered) else None


def _model(provenances: Mapping[str, Provenance], version: str | None) -> ModelUri | None:
    """Return the model version of `version` in the model registry; None without one."""
    provenance = provenances.get(version) if version is not None else None
    return model_uri.exact(provenance.source if provenance else None)
