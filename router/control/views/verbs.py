"""Which verbs would be accepted now, and why not: the state machine is asked, and nothing is changed.

What only I/O can find out (a probe of new endpoints, the registry of models, the disk) is not asked: `?dry_run=true` of the verb
itself knows more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from typing_extensions import TypedDict

from router.control.core.service_controller import ServiceController
from router.errors import Refusal
from router.rollout.facts.switches import Promoted, Switched
from router.rollout.model import events as ev
from router.rollout.model.target import State

_ACTOR = "operator"
_NEW = "?"
"""A label that no version can have."""


class VerbStatus(TypedDict):
    """Whether a verb would be accepted now and would change something. `promote` is about the candidate: a standby becomes
    active by `rollback` or `switch`.
    """

    allowed: bool
    reasons: list[str]
    """Why not."""
    versions: list[str]
    """The versions that the verb may be used on; empty for a verb that names none."""


def allowed(service_controller: ServiceController, now_ns: int) -> dict[str, VerbStatus]:
    """Return the verbs of the core by name."""
    registry = service_controller.registry
    candidate, frozen = registry.candidate, registry.frozen
    held = service_controller.executor.held.holders()
    holders = [holder.target for holder in held if holder.target.state is not State.ACTIVE]

    def refusal(event: ev.Event) -> str | None:
        try:
            commands = service_controller.machine.handle(event, now_ns)
        except Refusal as error:
            return error.detail
        return None if commands else "there is nothing to do"

    def switch(version: str) -> str | None:
        return refusal(ev.SwitchAsked(version, _ACTOR, "", Switched.TYPE))

    promote = "there is no candidate"
    if candidate is not None:
        promote = refusal(ev.SwitchAsked(candidate.version, _ACTOR, "", Promoted.TYPE)) or ""
    new = ev.DeployAsked(_NEW, ("http://127.0.0.1:1",), _ACTOR, replace=True)
    others = [target.version for target in holders]
    blocked = [*registry.quarantines, *registry.temporary_releases]
    known = [target.version for target in registry.targets.values() if target.state is not State.ACTIVE]
    return {
        "rollback": _one(refusal(ev.RollbackAsked("", _ACTOR))),
        "promote": _one(promote, [candidate.version] if candidate is not None else []),
        "switch": _any(others, switch, "no other version is deployed"),
        "deploy": _one(refusal(new)),
        "retire": _any(
            others, lambda version: refusal(ev.RetireAsked(version, _ACTOR, cut=True)), "no other version is deployed"
        ),
        "freeze": _one(registry.freeze_text if frozen else None),
        "unfreeze": _one(None if frozen else "automation is not frozen"),
        "quarantine": _any(
            known, lambda version: refusal(ev.QuarantineAsked(version, _ACTOR, "")), "no other version is known"
        ),
        "release": _one(None if blocked else "no version is quarantined", blocked),
    }


def refused(reasons: list[str]) -> VerbStatus:
    """Return the status of a verb of an add-on; no reasons: it is allowed."""
    return {"allowed": not reasons, "reasons": reasons, "versions": []}


def _one(reason: str | None, versions: Iterable[str] = ()) -> VerbStatus:
    return {"allowed": not reason, "reasons": [reason] if reason else [], "versions": [] if reason else list(versions)}


def _any(versions: list[str], refusal: Callable[[str], str | None], without: str) -> VerbStatus:
    """Return the status of a verb that needs one of `versions`; `without`: the reason if there is none."""
    found = {version: refusal(version) for version in versions}
    fit = [version for version, reason in found.items() if reason is None]
    if fit:
        return {"allowed": True, "reasons": [], "versions": fit}
    reasons = list(dict.fromkeys(reason for reason in found.values() if reason))
    return {"allowed": False, "reasons": reasons or [without], "versions": []}
