"""Decides how a registry follows the route in shared memory: shared memory outlived control and overrules the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from router.rollout.facts.record import Record
from router.rollout.facts.switches import Recovered
from router.rollout.facts.versions import Placement
from router.rollout.incidents.incident import incident_id
from router.rollout.machine.registration import placed_rewrite
from router.rollout.machine.registry import Registry
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
    placed: Placement | None = None
    for role, (version, endpoints, rewrite) in named.items():
        known = registry.targets.get(version)
        keeps = role is State.VERIFYING and known is not None and known.state in CANDIDATES
        states[version] = known.state if known is not None and keeps else role
        if known is None:
            placed = Placement(version=version, endpoints=endpoints, rewrite=placed_rewrite(rewrite, known))
    for target in registry.targets.values():
        if target.state in ROLES and target.version not in states:
            states[target.version] = State.DRAINING
    left = registry.active
    rolled_back = bool(word.flags & Flag.REDISPATCH) and left is not None and states.get(left.version) is State.DRAINING
    fact = Recovered(
        generation=word.generation,
        base=word.generation,
        forced=True,
        target=placed,
        states=states,
        automatic_left=registry.automatic_left and not rolled_back,
    )
    if rolled_back and left is not None:
        reason = "it was rolled back, and control died before the reason was journalled"
        incident = incident_id(registry.service, word.generation)
        fact = replace(
            fact,
            incident=incident,
            left=left.version,
            to=fact.activated,
            reason=reason,
            automatic=True,
            quarantine={left.version: {"reason": reason, "incident": incident}},
            bounded=(left.version,),
        )
    return Record(fact, "control")


def named_roles(registry: Registry) -> dict[State, str]:
    """Return the version in each role; a candidate's is VERIFYING."""
    roles = {State.ACTIVE: registry.active, State.STANDBY: registry.standby, State.VERIFYING: registry.candidate}
    return {role: target.version for role, target in roles.items() if target is not None}


def versions_of(named: Named) -> dict[State, str]:
    """Return the version in each role."""
    return {role: version for role, (version, *_) in named.items()}


def assumed(registry: Registry, version: str) -> Record:
    """Return the entry that makes `version` active: an operator has requested it after damage of the journal."""
    states = {
        target.version: State.DRAINING
        for target in registry.targets.values()
        if target.state in (State.ACTIVE, State.VERIFYING, State.READY) and target.version != version
    }
    fact = Recovered(
        generation=registry.generation,
        base=registry.generation,
        forced=True,
        states={**states, version: State.ACTIVE},
        release=(version,) if version in registry.quarantines else (),
        reason="assumed by the operator after the journal was corrupt",
    )
    return Record(fact, "operator")
