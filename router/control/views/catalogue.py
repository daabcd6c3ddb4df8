"""What the admin API shows of versions: state, origin, marks, history, and when they were live. Times are RFC 3339 for people.

A service may have 500 versions with 100 lines each and 10,000 tenures: what is shown of them is made in a thread, from a shelf.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.rollout.machine.registry import Registry
from router.rollout.model.target import State, Target
from router.rollout.versions.provenance import Provenance
from router.rollout.versions.quarantine import TemporaryRelease
from router.runtime import clock

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a registry knows of its versions at one moment; nobody changes it, so any thread may read it."""

    service: str
    targets: tuple[Target, ...]
    quarantines: dict[str, Document]
    temporary_releases: dict[str, TemporaryRelease]
    provenances: dict[str, Provenance]
    history: dict[str, list[Document]]
    active_periods: list[Document]
    dropped: int
    incidents: list[Document]


def snapshot(registry: Registry) -> Shelf:
    """Return the shelf of a service; its members are replaced in the registry, never changed, but for what holds them."""
    return Shelf(
        registry.service,
        tuple(registry.targets.values()),
        dict(registry.quarantines),
        dict(registry.temporary_releases),
        dict(registry.provenances),
        dict(registry.history),
        list(registry.active_periods.kept),
        registry.active_periods.dropped,
        registry.incidents,
    )


def versions(shelves: Iterable[Shelf]) -> list[Document]:
    """Return the versions of each service with marks and history, newest first."""
    return [told for kept in shelves for told in _listed(kept)]


def _listed(kept: Shelf) -> list[Document]:
    latest = {period["version"]: period for period in kept.active_periods}
    targets = sorted(kept.targets, key=lambda target: -target.since)
    return [{**_version(kept, target), "last_live": _last(latest.get(target.version))} for target in targets]


def version(kept: Shelf, target: Target) -> Document:
    """Return one version with every time that it was live."""
    live = [_period_document(period) for period in kept.active_periods if period["version"] == target.version]
    incidents = [told["id"] for told in kept.incidents if told["from"] == target.version]
    return {**_version(kept, target), "live": live, "incidents": incidents}


def live(kept: Shelf, limit: int) -> Document:
    """Return what was live when, the newest `limit`, oldest first. `earlier`: how many more are kept; `dropped`: how many
    only the journal has.
    """
    return {
        "service": kept.service,
        "live": [_period_document(period) for period in kept.active_periods[-limit:]],
        "earlier": max(0, len(kept.active_periods) - limit),
        "dropped": kept.dropped,
    }


def _version(kept: Shelf, target: Target) -> Document:
    pedigree, lift = kept.provenances.get(target.version), kept.temporary_releases.get(target.version)
    rolled_back = pedigree.rolled_back if pedigree else None
    return {
        "service": kept.service,
        "version": target.version,
        "state": target.state.value,
        "slot": target.slot,
        "endpoints": list(target.endpoints),
        "artifact": pedigree.artifact if pedigree else None,
        "source": pedigree.source if pedigree else None,
        "registered": {"by": pedigree.registered_by, "at": clock.iso(pedigree.registered_at)} if pedigree else None,
        "quarantine": _at(kept.quarantines.get(target.version)),
        "lifted": None
        if lift is None
        else _at({"actor": lift.actor, "reason": lift.reason, "at": lift.at, "until": clock.iso(lift.until)}),
        "unreachable": target.state is State.UNREACHABLE,
        "accepted": target.accepted,
        "accepted_at": clock.iso(pedigree.accepted_at) if pedigree and pedigree.accepted_at is not None else None,
        "rolled_back": _at(rolled_back),
        "history": [_at(line) for line in kept.history.get(target.version, [])],
    }


def _period_document(period: Document) -> Document:
    until = period["until"]
    return {**period, "since": clock.iso(period["since"]), "until": None if until is None else clock.iso(until)}


def _last(period: Document | None) -> Document | None:
    if period is None:
        return None
    told = _period_document(period)
    return {"since": told["since"], "until": told["until"]}


def _at(told: Document | None) -> Document | None:
    return {**told, "at": clock.iso(told["at"])} if told else None
