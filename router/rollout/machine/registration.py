"""Decides how a version is registered, and ensures that a label always means the same servers and the same model files."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.record import Command, Record
from router.rollout.facts.versions import Placement, Registered
from router.rollout.machine.registry import RETIRED_MAX, Registry
from router.rollout.model.events import Origin, RegisterAsked
from router.rollout.model.rewrite import NO_REWRITE, Rewrite
from router.rollout.model.target import State, Target

_DIFFERS: Final = {"artifact": RefusalCode.ARTIFACT_DIFFERS, "source": RefusalCode.SOURCE_DIFFERS}
"""The refusal of another origin, by the member of Origin.members()."""


def registration(registry: Registry, event: RegisterAsked) -> list[Command]:
    """Return the commands; raise Refusal if the event is refused.

    Registering again corrects the artifact of a version; the journal keeps the former artifact.
    """
    endpoints = endpoints_of(registry, event.version, event.endpoints)
    rewrite = rewrite_of(registry, event.version, event.rewrite)
    known = registry.targets.get(event.version)
    provenance = registry.provenances.get(event.version)
    refuse_other_origin(registry, event.version, Origin(None, event.origin.source))
    members = event.origin.members()
    placed = Placement(version=event.version, endpoints=endpoints, rewrite=placed_rewrite(rewrite, known))
    fact = Registered(target=placed, artifact=event.origin.artifact, source=event.origin.source)
    if known is not None:
        same = provenance is not None and all(getattr(provenance, name) == uri for name, uri in members.items())
        return [] if same else [Record(fact, event.actor)]
    if sum(target.state is State.REGISTERED for target in registry.targets.values()) >= RETIRED_MAX:
        detail = f"{RETIRED_MAX} versions of {registry.service} are registered and not deployed: retire some of them"
        raise Refusal(RefusalCode.VERSIONS_EXHAUSTED, detail)
    return [Record(replace(fact, states={event.version: State.REGISTERED}), event.actor)]


def endpoints_of(registry: Registry, version: str, requested: tuple[str, ...]) -> tuple[str, ...]:
    """Return the endpoints of `version`; raise Refusal if there are none, or if others are registered."""
    known = registry.targets.get(version)
    if known is None:
        if not requested:
            detail = f"version {version} is not known to {registry.service} yet: name its endpoints"
            raise Refusal(RefusalCode.ENDPOINTS_NEEDED, detail)
        return requested
    if requested and known.endpoints != requested:
        raise Refusal(
            RefusalCode.ENDPOINTS_DIFFER,
            f"version {version} is known at {', '.join(known.endpoints)}, not at {', '.join(requested)}: "
            "take another label, or move the version (PUT versions/VERSION/endpoints)",
            facts={"endpoints": list(known.endpoints)},
        )
    return known.endpoints


def rewrite_of(registry: Registry, version: str, requested: Rewrite | None) -> Rewrite:
    """Return how the requests to `version` differ from the client's; raise Refusal if something else is registered."""
    known = registry.targets.get(version)
    if known is None:
        return requested or NO_REWRITE
    if requested is not None and requested != known.rewrite:
        raise Refusal(
            RefusalCode.REWRITE_DIFFERS,
            f"version {version} is known with {_described(known.rewrite)}, not with {_described(requested)}: take another "
            "label, or change it (PUT versions/VERSION/endpoints)",
            facts={"rewrite": known.rewrite.as_dict()},
        )
    return known.rewrite


def placed_rewrite(rewrite: Rewrite, known: Target | None) -> Rewrite | None:
    """Return the rewrite of a placement if it is new or changes; None if an older router could read the entry without it."""
    before = known.rewrite if known is not None else NO_REWRITE
    return rewrite if rewrite != before else None


def _described(rewrite: Rewrite) -> str:
    return ", ".join(f"{name} {value}" for name, value in rewrite.as_dict().items()) or "the client's host and path"


def refuse_other_origin(registry: Registry, version: str, origin: Origin) -> None:
    """Raise Refusal if another origin is registered for `version`: a label names one model."""
    provenance = registry.provenances.get(version)
    for name, uri in origin.members().items():
        known = getattr(provenance, name, None)
        if known is not None and known != uri:
            remedy = "take another label" + (", or correct it with register" if name == "artifact" else "")
            raise Refusal(
                _DIFFERS[name],
                f"the {name} of version {version} is {known}, not {uri}: {remedy}",
                facts={name: known},
            )
