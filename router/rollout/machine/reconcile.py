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
from router.rollout.model.route import NO_SLOT, Flag, Route
from router.rollout.model.target import CANDIDATES, ROLES, State


def recovered(
    registry: Registry, word: Route, contents: Mapping[int, tuple[str, tuple[str, ...], int, Rewrite]]
) -> Record | None:
    """Return the entry that makes `registry` agree with the route `word`; None if they agree.

    `contents` is (version, endpoints, incarnation, rewrite) by slot, read from shared memory. A rollback that was stored and not
    journalled quarantines the version that was active: whether it was only unreachable is not recorded.
    """
    if word.generation == registry.generation and word.named() == registry.route().named():
        return None
    states: dict[str, State] = {}
    data: dict[str, Any] = {"generation": word.generation, "base": word.generation, "forced": True}
    for slot, state in ((word.active, State.ACTIVE), (word.standby, State.STANDBY), (word.candidate, State.VERIFYING)):
        if slot == NO_SLOT or slot not in contents:
            continue
        version, endpoints, incarnation, rewrite = contents[slot]
        known = registry.targets.get(version)
        keeps = state is State.VERIFYING and known is not None and known.state in CANDIDATES
        states[version] = known.state if known is not None and keeps else state
        if known is None or known.slot != slot:
            data["target"] = {
                "version": version,
                "endpoints": list(endpoints),
                "slot": slot,
                "incarnation": incarnation,
                **placed_rewrite(rewrite, known),
            }
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


def _served(states: Mapping[str, State]) -> str | None:
    return next((version for version, state in states.items() if state is State.ACTIVE), None)


def assumed(registry: Registry, version: str) -> Record:
    """Return the entry that makes `version` active: an operator has requested it after damage of the journal."""
    states = {
        target.version: State.DRAINING.value
        for target in registry.targets.values()
        if target.state in (State.ACTIVE, State.VERIFYING, State.READY) and target.version != version
    }
    slot = registry.targets[version].slot
    data: dict[str, Any] = {
        "generation": registry.generation,
        "base": registry.generation,
        "forced": True,
        "states": {**states, version: State.ACTIVE.value},
        "release": [version] if version in registry.quarantines else [],
        "reason": "assumed by the operator after the journal was corrupt",
    }
    if slot is None:
        held = {target.slot for target in registry.holders()}
        free = next(number for number in range(len(registry.incarnations)) if number not in held)
        data["target"] = {
            "version": version,
            "endpoints": list(registry.targets[version].endpoints),
            "slot": free,
            "incarnation": registry.incarnations[free] + 1,
        }
    return Record(entry_types.RECOVERED, "operator", data)
