"""What a model registry outside has to be told yet: a pure fold of the journal, so that nothing is forgotten by a restart.

One errand a version: what came last counts. An errand is begun by the fact itself (a rollback, a quarantine, a release) and
ended by a fact of its own, `mlflow_told` or `mlflow_given_up`, which names it by its `token`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry
from router.rollout.model.target import State
from router.rollout.versions import model_uri as mu
from router.rollout.versions.model_uri import ModelUri
from router.rollout.versions.provenance import Provenance

ERRANDS_MAX: Final = 1000
"""Of the whole router; beyond it the oldest is given up without a word to the registry outside."""
REASON_CHARS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class PendingUpdate:
    """Write `tags` to `model`; then, if `serves` is not None, let the service's alias point to that number again, provided
    that it still points to `model`. `at` is when it was rolled back or quarantined, `since` when that had to be told (wall
    seconds).
    """

    service: str
    version: str
    token: str
    model: ModelUri
    tags: tuple[tuple[str, str], ...]
    serves: str | None
    at: float
    since: float


class PendingUpdates:
    """The errands that are not done, by service and version."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], PendingUpdate] = {}

    def apply(self, entry: Entry, provenances: Mapping[str, Provenance]) -> None:
        """Fold one entry; `pedigrees` are those of its service."""
        if entry.type in (kinds.MLFLOW_TOLD, kinds.MLFLOW_GIVEN_UP):
            key = (entry.service, entry.data["version"])
            known = self.open.get(key)
            if known is not None and known.token == entry.data["token"]:
                del self.open[key]
            return
        for errand in _begun(entry, provenances):
            key = (errand.service, errand.version)
            former = self.open.pop(key, None)
            if former is not None:
                errand = _both(former, errand)
            self.open[key] = errand
        while len(self.open) > ERRANDS_MAX:
            del self.open[next(iter(self.open))]


def _both(former: PendingUpdate, later: PendingUpdate) -> PendingUpdate:
    """What the former one had to say, where the later one says nothing else."""
    tags = dict(former.tags) | dict(later.tags)
    at = later.at if mu.TAG_REASON in dict(later.tags) else former.at
    return replace(later, tags=tuple(tags.items()), serves=later.serves or former.serves, at=at)


def _begun(entry: Entry, provenances: Mapping[str, Provenance]) -> list[PendingUpdate]:
    data = entry.data
    marks: dict[str, dict[str, Any]] = data.get("quarantine", {})
    told = {version: _mark(mark["reason"], mark["incident"], True) for version, mark in marks.items()}
    told |= {version: {mu.TAG_QUARANTINED: "false"} for version in data.get("release", ())}
    if entry.type == kinds.ROLLED_BACK:
        left = data["from"]
        told[left] = _mark(data["reason"], data["incident"], left in marks)
    found = []
    for version, tags in told.items():
        if (model := _model(provenances, version)) is None:
            continue
        serving = _model(provenances, _serves(entry)) if version in marks or mu.TAG_REASON in tags else None
        number = serving.number if serving is not None and serving.name == model.name else None
        token = f"{entry.boot}-{entry.monotonic_ns}"
        at = marks.get(version, {}).get("at", entry.at)
        found.append(PendingUpdate(entry.service, version, token, model, tuple(tags.items()), number, at, entry.at))
    return found


def _mark(reason: str, incident: str | None, marked: bool) -> dict[str, str]:
    return {
        mu.TAG_REASON: str(reason)[:REASON_CHARS_MAX],
        mu.TAG_INCIDENT: incident or "",
        mu.TAG_QUARANTINED: "true" if marked else "false",
    }


def _serves(entry: Entry) -> str | None:
    """Return which version a rollback made active, also one that was recovered from shared memory."""
    if entry.type not in (kinds.ROLLED_BACK, kinds.RECOVERED):
        return None
    states = entry.data.get("states", {})
    return next((version for version, state in states.items() if state == State.ACTIVE), None)


def _model(provenances: Mapping[str, Provenance], version: str | None) -> ModelUri | None:
    """Return which registered model's version it is; None if it comes from elsewhere."""
    pedigree = provenances.get(version) if version is not None else None
    return mu.numbered(pedigree.source if pedigree else None)
