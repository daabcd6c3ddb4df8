"""The documents of versions: state, origin, quarantine, history, active periods. Times are RFC 3339.

A service may have 500 versions with 100 history lines each, and 10,000 active periods: the documents are made in a thread,
from a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from router.control.addon import Document
from router.control.core.executor import CommandExecutor
from router.rollout.model.target import State, Target
from router.rollout.placement.slot_table import HeldSlot
from router.rollout.versions.provenance import Provenance
from router.rollout.versions.quarantine import TemporaryRelease
from router.runtime import clock


@dataclass(frozen=True, slots=True)
class VersionsSnapshot:
    """The versions of a registry at one moment. It never changes, so any thread may read it."""

    service: str
    targets: tuple[Target, ...]
    quarantines: dict[str, Document]
    temporary_releases: dict[str, TemporaryRelease]
    provenances: dict[str, Provenance]
    history: dict[str, list[Document]]
    active_periods: list[Document]
    dropped: int
    incidents: list[Document]
    slots: Mapping[str, HeldSlot]


def snapshot(executor: CommandExecutor) -> VersionsSnapshot:
    """Return a snapshot of a service. Containers are copied; their items are replaced in the registry, but never changed."""
    registry = executor.registry
    return VersionsSnapshot(
        registry.service,
        tuple(registry.targets.values()),
        dict(registry.quarantines),
        dict(registry.temporary_releases),
        dict(registry.provenances),
        dict(registry.history),
        list(registry.active_periods.kept),
        registry.active_periods.dropped,
        registry.incidents,
        executor.held.table.held,
    )


def versions(snapshots: Iterable[VersionsSnapshot]) -> list[Document]:
    """Return the versions of each service with quarantine and history, newest first."""
    return [document for snapshot in snapshots for document in _listed(snapshot)]


def _listed(snapshot: VersionsSnapshot) -> list[Document]:
    latest = {period["version"]: period for period in snapshot.active_periods}
    targets = sorted(snapshot.targets, key=lambda target: -target.since)
    return [{**_version(snapshot, target), "last_live": _last(latest.get(target.version))} for target in targets]


def version(snapshot: VersionsSnapshot, target: Target) -> Document:
    """Return one version with all its active periods and incidents."""
    live = [_period_document(period) for period in snapshot.active_periods if period["version"] == target.version]
    incidents = [incident["id"] for incident in snapshot.incidents if incident["from"] == target.version]
    return {**_version(snapshot, target), "live": live, "incidents": incidents}


def live(snapshot: VersionsSnapshot, limit: int) -> Document:
    """Return the newest `limit` active periods, oldest first.

    `earlier`: the number of older periods that are kept; `dropped`: the number that only the journal has.
    """
    return {
        "service": snapshot.service,
        "live": [_period_document(period) for period in snapshot.active_periods[-limit:]],
        "earlier": max(0, len(snapshot.active_periods) - limit),
        "dropped": snapshot.dropped,
    }


def _version(snapshot: VersionsSnapshot, target: Target) -> Document:
    provenance = snapshot.provenances.get(target.version)
    release = snapshot.temporary_releases.get(target.version)
    rolled_back = provenance.rolled_back if provenance else None
    return {
        "service": snapshot.service,
        "version": target.version,
        "state": target.state.value,
        "slot": held.slot if (held := snapshot.slots.get(target.version)) is not None else None,
        "endpoints": list(target.endpoints),
        "artifact": provenance.artifact if provenance else None,
        "source": provenance.source if provenance else None,
        "registered": {"by": provenance.registered_by, "at": clock.iso(provenance.registered_at)}
        if provenance
        else None,
        "quarantine": _at(snapshot.quarantines.get(target.version)),
        "lifted": None
        if release is None
        else _at(
            {"actor": release.actor, "reason": release.reason, "at": release.at, "until": clock.iso(release.until)}
        ),
        "unreachable": target.state is State.UNREACHABLE,
        "accepted": target.accepted,
        "accepted_at": clock.iso(provenance.accepted_at) if provenance and provenance.accepted_at is not None else None,
        "rolled_back": _at(rolled_back),
        "history": [_at(line) for line in snapshot.history.get(target.version, [])],
    }


def _period_document(period: Document) -> Document:
    until = period["until"]
    return {**period, "since": clock.iso(period["since"]), "until": None if until is None else clock.iso(until)}


def _last(period: Document | None) -> Document | None:
    if period is None:
        return None
    document = _period_document(period)
    return {"since": document["since"], "until": document["until"]}


def _at(document: Document | None) -> Document | None:
    return {**document, "at": clock.iso(document["at"])} if document else None
