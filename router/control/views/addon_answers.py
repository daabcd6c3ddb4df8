"""The members that add-ons give to the status of a service, as the admin API returns them. Times are RFC 3339."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

CheckState = Literal["running", "passed", "failing", "cancelled", "broken"]


class AlertDocument(TypedDict):
    """An alert that was received. `about`: the version that it concerns; `fate`: what the router did with it."""

    service: str
    kind: str
    name: str
    summary: str
    fingerprint: str
    version: str | None
    about: str | None
    status: Literal["firing", "resolved"]
    fate: str
    detail: str
    sender: str
    starts_at: str | None
    at: str
    heard_at: str
    labels: dict[str, str]
    seq: int | None


class CheckProgress(TypedDict):
    """A check of regression cases, without its results."""

    id: str
    service: str
    version: str
    by: str
    automatic: bool
    state: CheckState
    error: str | None
    started_at: str
    ended_at: str | None
    total: int
    done: int
    passed: int
    failed: int
    skipped: int


class CasesStatus(TypedDict):
    """The regression cases of a service, and the check of its candidate."""

    count: int
    size_bytes: int
    on_promote: str
    pending: bool
    failing: list[str]
    check: CheckProgress | None


class DrillSummary(TypedDict):
    """The drills of a service in short."""

    under_way: str | None
    schedule: str | None
    mode: str
    next_at: str | None
    last_passed_at: str | None
    seconds_since_last_passed: float | None
    last_result: str | None
    overdue: bool


class DriftFinding(TypedDict):
    """How far one field of the requests differs from the reference."""

    field: str
    what: str
    share: float
    limit: float
    usual: float
    samples: int


class ReferenceField(TypedDict):
    """What the reference knows of one field."""

    kind: str
    low: float | None
    high: float | None
    categories: int
    usual_missing: float
    judged: bool


class ReferenceSummary(TypedDict):
    """The reference of input drift."""

    version: str
    requests: int
    fields: dict[str, ReferenceField]


class InputsStatus(TypedDict):
    """Whether the requests have drifted."""

    state: str
    reason: str
    drifting: bool
    action: str
    worst: DriftFinding | None
    failing: list[DriftFinding]
    learned: int
    unreadable: int
    reference: ReferenceSummary | None


class NotificationsStatus(TypedDict):
    """Notifications about a service: how many wait, and which channels fail."""

    pending: int
    failing: list[str]


class MlflowUpdate(TypedDict):
    """An update that MLflow has not received."""

    version: str
    model: str
    since: str


class MlflowStatus(TypedDict):
    """The updates for MLflow that wait."""

    tracking_uri: str | None
    waiting: list[MlflowUpdate]


class ProposalEvidence(TypedDict):
    """A cause of a proposal. `now`: the present state of its trigger."""

    at: str
    cause: str
    trigger: dict[str, Any]
    alert: dict[str, Any] | None
    impact: dict[str, Any] | None
    now: str | None


_ProposalEnds = TypedDict("_ProposalEnds", {"from": str | None, "to": str | None})


class ProposalDocument(_ProposalEnds):
    """A proposal of a rollback or a promotion."""

    id: str
    service: str
    kind: Literal["rollback", "promotion"]
    state: Literal["open", "due", "approved", "denied", "expired", "withdrawn"]
    version: str
    reason: str
    opened_by: str
    opened_at: str
    expires_at: str
    left_s: float | None
    """Seconds until it expires; null once it is decided."""
    at_expiry: Literal["hold", "rollback"]
    evidence: list[ProposalEvidence]
    decided_by: str | None
    decided_at: str | None
    decision_reason: str | None
    incident: str | None
