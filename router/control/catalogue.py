"""What the admin API shows of versions: state, origin, marks, history, and when they were live. Times are RFC 3339 for people."""

from __future__ import annotations

from typing import Any

from router import clock
from router.control.bench import Bench
from router.rollout.registry import Registry
from router.rollout.target import State, Target

Document = dict[str, Any]


def versions(bench: Bench) -> list[Document]:
    """Return the versions of one service with marks and history, newest first."""
    latest = {tenure["version"]: tenure for tenure in bench.registry.tenures.kept}
    targets = sorted(bench.registry.targets.values(), key=lambda target: -target.since)
    return [{**_version(bench, target), "last_live": _last(latest.get(target.version))} for target in targets]


def version(bench: Bench, target: Target) -> Document:
    """Return one version with every time that it was live."""
    live = [tenure_document(tenure) for tenure in bench.registry.tenures.of(target.version)]
    incidents = [told["id"] for told in bench.registry.incidents if told["from"] == target.version]
    return {**_version(bench, target), "live": live, "incidents": incidents}


def _version(bench: Bench, target: Target) -> Document:
    registry = bench.registry
    pedigree, lift = registry.pedigrees.get(target.version), registry.lifts.get(target.version)
    rolled_back = pedigree.rolled_back if pedigree else None
    return {
        "service": bench.name,
        "version": target.version,
        "state": target.state.value,
        "slot": target.slot,
        "endpoints": list(target.endpoints),
        "artifact": pedigree.artifact if pedigree else None,
        "source": pedigree.source if pedigree else None,
        "registered": {"by": pedigree.registered_by, "at": clock.iso(pedigree.registered_at)} if pedigree else None,
        "quarantine": _at(registry.quarantines.get(target.version)),
        "lifted": None
        if lift is None
        else _at({"actor": lift.actor, "reason": lift.reason, "at": lift.at, "until": clock.iso(lift.until)}),
        "unreachable": target.state is State.UNREACHABLE,
        "accepted": target.accepted,
        "accepted_at": clock.iso(pedigree.accepted_at) if pedigree and pedigree.accepted_at is not None else None,
        "rolled_back": _at(rolled_back),
        "history": [_at(line) for line in registry.history.get(target.version, [])],
    }


def tenure_document(tenure: Document) -> Document:
    """Return one stretch of time in which a version was active."""
    until = tenure["until"]
    return {**tenure, "since": clock.iso(tenure["since"]), "until": None if until is None else clock.iso(until)}


def live(registry: Registry) -> Document:
    """Return what was live when: `/v1/services/{service}/live`. `dropped`: older ones, which only the journal has."""
    return {
        "service": registry.service,
        "live": [tenure_document(tenure) for tenure in registry.tenures.kept],
        "dropped": registry.tenures.dropped,
    }


def _last(tenure: Document | None) -> Document | None:
    if tenure is None:
        return None
    told = tenure_document(tenure)
    return {"since": told["since"], "until": told["until"]}


def _at(told: Document | None) -> Document | None:
    return {**told, "at": clock.iso(told["at"])} if told else None
