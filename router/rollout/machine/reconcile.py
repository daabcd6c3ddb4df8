"""Decides how a registry follows the route in shared memory: shared memory outlived control and overrules the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.rollout.incidents.incident import incident_id
from router.rollout.machine.registration import placed_rewrite
from router.rollout.machine.registry import Registry
from router.rollout.model import entry as entry_types
from router.rollout.model.commands import Record
from router.rollout.model.rewrite import Rewrite
from router.rollout.model.route import Flag, Route
from router.rollout.model.target import CANDIDATES, ROLES, State

Named = Mapping[State, tuple[str, tuple[str, ...], Rewrite]]
"""(version, endpoints, rewrite) by role: ACTIVE, STANDBY, or VERIFYING for the candidate."""


def recovered(registry: Registry, word: Route, named: Named) -> Record | None:
    """Return the entry that makes `registry` agree with the route `word`; None if they agree.

    `named` are the versions that the route names, read from shared memory. A rollback that was stored and not journalled
    quarantines the version that was active: whether it was only unreachable is not recorded.
    """
    roles = {State.ACTIVE: registry.active, State.STANDBY: registry.standby, State.VERIFYING: registry.candidate}
    known_roles = {role: target.version for role, target in roles.items() if target is not None}
    if word.generation == registry.generation and known_roles == {
        role: version for role, (version, *_) in named.items()
    }:
        return None
    states: dict[str, State] = {}
    data: dict[str, Any] = {"generation": word.generation, "base": word.generation, "forced": True}
    for role, (version, endpoints, rewrite) in named.items():
        known = registry.targets.get(version)
        keeps = role is State.VERIFYING and known is not None and known.state in CANDIDATES
        states[version] = known.state if known is not None and keeps else role
        if known is None:
            data["target"] = {"version": version, "endpoints": list(endpoints), **placed_rewrite(rewrite, known)}
    for target in registry.targets.values():
        if target.state in ROLES and target.version not in states:
            states[target.version] = State.DRAINING
    left = registry.active
    rolled_back = bool(word.flags & Flag.REDISPATCH) and left is not None and states.get(left.version) is State.DRAINING
    if rolled_back and left is not None:
        reason = "it was rolled back, and control died before the reason was journalled"
        incident = incident_id(registry.service, word.generation)
        data |= {"incident": incident, "from": left.version, "to": _served(states), "reason": reason, "automatic": True}
        data["quarantine"] = {left.version: {"reason": reason, "incident": incident}}
        data["bounded"] = [left.version]
    data["automatic_left"] = registry.automatic_left and not rolled_back
    data["states"] = {version: state.value for version, state in states.items()}
    return Record(entry_types.RECOVERED, "control", data)


def named_roles(registry: Registry) -> dict[State, str]:
    """Return the version in each role; a candidate's is VERIFYING."""
    roles = {State.ACTIVE: registry.active, State.STANDBY: registry.standby, State.VERIFYING: registry.candidate}
    return {role: target.version for role, target in roles.items() if target is not None}


def versions_of(named: Named) -> dict[State, str]:
    """Return the version in each role."""
    return {role: version for role, (version, *_) in named.items()}


def _served(states: Mapping[str, State]) -> str | None:
    return next((version for version, state in states.items() if state is State.ACTIVE), None)


def assumed(registry: Registry, version: str) -> Record:
    """Return the entry that makes `version` active: an operator has requested it after damage of the journal."""
    states = {
        target.version: State.DRAINING.value
        for target in registry.targets.values()
        if target.state in (State.ACTIVE, State.VERIFYING, State.READY) and target.version != version
    }
    data: dict[str, Any] = {
        "generation": registry.generation,
        "base": registry.generation,
        "forced": True,
        "states": {**states, version: State.ACTIVE.value},
        "release": [version] if version in registry.quarantines else [],
        "reason": "assumed by the operator after the journal was corrupt",
    }
    return Record(entry_types.RECOVERED, "operator", data)
