"""How a version becomes known without being deployed; and that a label keeps meaning the same servers and the same files."""

from __future__ import annotations

from typing import Any

from router.errors import OperatorError
from router.rollout.machine.registry import RETIRED_MAX, Registry
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Command, Record
from router.rollout.model.events import Origin, RegisterAsked
from router.rollout.model.target import State

_REFUSED = 9


def registration(registry: Registry, event: RegisterAsked) -> list[Command]:
    """Return what is to be done; raise OperatorError if it is refused.

    Registering is the explicit way to correct the artifact of a known version; the journal keeps what it was.
    """
    endpoints = endpoints_of(registry, event.version, event.endpoints)
    known = registry.targets.get(event.version)
    pedigree = registry.pedigrees.get(event.version)
    refuse_other_origin(registry, event.version, Origin(None, event.origin.source))
    told = event.origin.told()
    data: dict[str, Any] = {
        "target": {
            "version": event.version,
            "endpoints": list(endpoints),
            "slot": known.slot if known else None,
            "incarnation": known.incarnation if known else 0,
        },
        **told,
    }
    if known is not None:
        same = pedigree is not None and all(getattr(pedigree, name) == uri for name, uri in told.items())
        return [] if same else [Record(kinds.REGISTERED, event.actor, data)]
    if sum(target.state is State.REGISTERED for target in registry.targets.values()) >= RETIRED_MAX:
        detail = f"{RETIRED_MAX} versions of {registry.service} are registered and not deployed: retire some of them"
        raise OperatorError(409, "versions_exhausted", detail, exit_code=_REFUSED)
    return [Record(kinds.REGISTERED, event.actor, {**data, "states": {event.version: State.REGISTERED.value}})]


def endpoints_of(registry: Registry, version: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return where `version` is; raise OperatorError if nobody said so (400), or if it is known elsewhere (409)."""
    known = registry.targets.get(version)
    if known is None:
        if not asked:
            detail = f"version {version} is not known to {registry.service} yet: name its endpoints"
            raise OperatorError(400, "endpoints_needed", detail, exit_code=2)
        return asked
    if asked and known.endpoints != asked:
        raise OperatorError(
            409,
            "endpoints_differ",
            f"version {version} is known at {', '.join(known.endpoints)}, not at {', '.join(asked)}: "
            "take another label, or move the version (PUT versions/VERSION/endpoints)",
            exit_code=_REFUSED,
            facts={"endpoints": list(known.endpoints)},
        )
    return known.endpoints


def refuse_other_origin(registry: Registry, version: str, origin: Origin) -> None:
    """Raise OperatorError (409) if `version` is known to come from elsewhere: a label names one model."""
    pedigree = registry.pedigrees.get(version)
    for name, uri in origin.told().items():
        known = getattr(pedigree, name, None)
        if known is not None and known != uri:
            remedy = "take another label" + (", or correct it with register" if name == "artifact" else "")
            raise OperatorError(
                409,
                f"{name}_differs",
                f"the {name} of version {version} is {known}, not {uri}: {remedy}",
                exit_code=_REFUSED,
                facts={name: known},
            )
