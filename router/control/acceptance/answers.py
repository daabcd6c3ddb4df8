"""The documents of acceptance criteria, as the admin API returns them. Times are RFC 3339."""

from __future__ import annotations

from typing_extensions import TypedDict

from router.rollout.judge.criteria import Criterion


class CriteriaNeeded(TypedDict):
    """What a version needs besides limits."""

    requests: int
    seconds: float
    cases: str


class AddedCriterion(TypedDict):
    """A criterion that a rollback or an operator has added. `origin`: the incident, or the operator."""

    metric: str
    limit: float
    origin: str
    actor: str
    reason: str
    at: str


class AcceptanceDocument(TypedDict):
    """The acceptance criteria of a service, evaluated for the active version."""

    service: str
    active: str | None
    accepted: bool
    criteria: list[Criterion]
    settings: dict[str, float]
    """The limits of the settings, by metric."""
    needed: CriteriaNeeded
    added: list[AddedCriterion]


class CriterionAnswer(AcceptanceDocument):
    """The criteria after a change."""

    changed: bool
    dry_run: bool
