"""The answers to the operators' verbs, as the admin API returns them."""

from __future__ import annotations

from typing_extensions import TypedDict


class DeployAnswer(TypedDict):
    """The answer of deploy. `state` is the version's state: `verifying`, or its present one if nothing has changed.

    `source` is the URI of the model registry (`models:/fraud/3`) that the version was named by.
    """

    service: str
    version: str
    source: str | None
    state: str
    generation: int
    changed: bool
    journalled: bool
    dry_run: bool
    message: str


class ChangeAnswer(TypedDict):
    """The answer of every other verb, given when all workers have confirmed, or after `timeouts.confirm_timeout_s`."""

    service: str
    generation: int
    """Generation of the route after the change."""
    active: str | None
    standby: str | None
    candidate: str | None
    changed: bool
    """false: the service was in this state already, or the call was a dry run without effect."""
    confirmed: bool
    """Whether every worker uses the route."""
    workers_unconfirmed: list[int]
    """Workers that have not confirmed in time."""
    swap_us: float | None
    """Microseconds from the decision to the published route."""
    confirmed_ms: float | None
    """Milliseconds from the published route to the last worker."""
    journalled: bool
    incident: str | None
    """Id of the incident that a rollback has opened."""
    awaits: str | None
    """Id of the proposal that must be approved before the change is made; the status is then 202."""
    dry_run: bool
    message: str
