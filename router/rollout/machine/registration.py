"""Decides how a version is registered, and ensures that a label always means the same servers and the same model files."""

from __future__ import annotations

from typing import Any

from router.errors import OperatorError
from router.rollout.machine.registry import RETIRED_MAX, Registry
from router.rollout.model import entry as entry_types
from router.rollout.model.commands import Command, Record
from router.rollout.model.events import Origin, RegisterAsked
from router.rollout.model.target import State

_REFUSED = 9


def registration(registry: Registry, event: RegisterAsked) -> list[Command]:
    """Return the commands; raise OperatorError if the event is refused.

    Registering again corrects the artifact of a version; the journal keeps the former artifact.
    """
    endpoints = endpoints_of(registry, event.version, event.endpoints)
    known = registry.targets.get(event.version)
    provenance = registry.provenances.get(event.version)
    refuse_other_origin(registry, event.version, Origin(None, event.origin.source))
    members = event.origin.members()
    data: dict[str, Any] = {
        "target": {
            "version": event.version,
            "endpoints": list(endpoints),
            "slot": known.slot if known else None,
            "incarnation": known.incarnation if known else 0,
        },
        **members,
    }
    if known is not None:
        same = provenance is not None and all(getattr(provenance, name) == uri for name, uri in members.items())
        return [] if same else [Record(entry_types.REGISTERED, event.actor, data)]
    if sum(target.state is State.REGISTERED for target in registry.targets.values()) >= RETIRED_MAX:
        detail = f"{RETIRED_MAX} versions of {registry.service} are registered and not deployed: retire some of them"
        raise OperatorError(409, "versions_exhausted", detail, exit_code=_REFUSED)
    return [Record(entry_types.REGISTERED, event.actor, {**data, "states": {event.version: State.REGISTERED.value}})]


def endpoints_of(registry: Registry, version: str, requested: tuple[str, ...]) -> tuple[str, ...]:
    """Return the endpoints of `version`; raise OperatorError if there are none (400), or if others are registered (409)."""
    known = registry.targets.get(version)
    if known is None:
        if not requested:
            detail = f"version {version} is not known to {registry.service} yet: name its endpoints"
            raise OperatorError(400, "endpoints_needed", detail, exit_code=2)
        return requested
    if requested and known.endpoints != requested:
        raise OperatorError(
            409,
            "endpoints_differ",
            f"version {version} is known at {', '.join(known.endpoints)}, not at {', '.join(requested)}: "
            "take another label, or move the version (PUT versions/VERSION/endpoints)",
            exit_code=_REFUSED,
            facts={"endpoints": list(known.endpoints)},
        )
    return known.endpoints


def refuse_other_origin(registry: Registry, version: str, origin: Origin) -> None:
    """Raise OperatorError (409) if another origin is registered for `version`: a label names one model."""
    provenance = registry.provenances.get(version)
    for name, uri in origin.members().items():
        known = getattr(provenance, name, None)
        if known is not None and known != uri:
            remedy = "take another label" + (", or correct it with register" if name == "artifact" else "")
            raise OperatorError(
                409,
                f"{name}_differs",
                f"the {name} of version {version} is {known}, not {uri}: {remedy}",
                exit_code=_REFUSED,
                facts={name: known},
            )
