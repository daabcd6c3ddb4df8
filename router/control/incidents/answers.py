"""The documents of incidents, as the admin API returns them. Times are RFC 3339, unknown values null."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

_Ends = TypedDict("_Ends", {"from": str | None, "to": str | None})


class AffectedCounts(TypedDict):
    """Who failed until the decision: distinct requests and clients. 501 means more than 500."""

    requests: int
    clients: int


class StandbySize(TypedDict):
    """Endpoints of the standby at the decision: those whose probes were good, of all."""

    good: int
    endpoints: int


class IncidentRecord(_Ends):
    """A rollback `from` the version that failed `to` the standby."""

    id: str
    service: str
    trigger: dict[str, Any] | None
    reason: str
    started_at: str | None
    evidence_since_s_before: float | None
    detection_at: str
    swap_us: float | None
    confirmed_ms: float | None
    generation: int
    requests: int | None
    errors: dict[str, int] | None
    rescued: int | None
    affected: AffectedCounts | None
    standby_size: StandbySize | None
    manual: bool
    actor: str
    proposal: str | None


class ListedIncident(IncidentRecord):
    """A rollback in short. `complete`: no sample is missing."""

    complete: bool
    status: Literal["open", "reviewed", "closed"]
    severity: str | None
    owner: str | None
    revision: int


class IncidentsList(TypedDict):
    """All rollbacks, newest first."""

    incidents: list[ListedIncident]


class IncidentTimes(TypedDict):
    """The moments of an incident."""

    promoted: str | None
    started: str | None
    onset: str | None
    failing_since: str | None
    decided: str | None
    swapped: str | None
    confirmed: str | None
    recovered: str | None
    drained: str | None


class IncidentDurations(TypedDict):
    """The times between these moments."""

    promoted_to_fault_s: float | None
    fault_to_decision_s: float | None
    decision_to_store_us: float | None
    store_to_last_worker_ms: float | None
    fault_to_recovered_s: float | None
    decision_to_drained_s: float | None


class RescueFigures(TypedDict):
    """How the rescued requests ended by the time of the decision."""

    rescued: int
    answered: int
    failed: int
    other: int
    under_way: int


class BudgetFigures(TypedDict):
    """The share of the error budget that the incident has used."""

    share: float
    basis: str


class AffectedClients(TypedDict):
    """The number of clients, and how they are told apart."""

    count: int
    basis: str


class IncidentImpact(TypedDict):
    """What the incident has cost."""

    requests: int | None
    errors: dict[str, int] | None
    rescued: int | None
    failed: int | None
    failed_until_decision: int | None
    clients_gone: int | None
    failed_max: int | None
    rescue: RescueFigures | None
    since: str | None
    until: str | None
    seconds_affected: float | None
    clients: AffectedClients | None
    distinct_requests: int | None
    budget: BudgetFigures | None


class IncidentPeriod(TypedDict):
    """The figures of a version in one period."""

    seconds: float
    requests: int
    requests_per_s: float
    faults: int
    fault_rate: float | None
    p50_ms: float | None
    p99_worst_ms: float | None


class VersionWindows(TypedDict):
    """The periods and points of one version. A point has the values of `columns`."""

    version: str | None
    periods: dict[str, IncidentPeriod | None]
    points: list[list[float | None]]


class IncidentWindows(TypedDict):
    """The samples of the failed version (`left`) and of the standby (`back`)."""

    columns: list[str]
    left: VersionWindows
    back: VersionWindows


class FailureRescue(TypedDict):
    """How a failed request was rescued."""

    version: str
    outcome: str
    status: int | None


class CapturedFailure(TypedDict):
    """A captured failing request, without its contents."""

    at: str
    path: str
    endpoint: str | None
    method: str
    outcome: str
    status: int | None
    complaint: str | None
    request_id: str
    lasted_ms: float
    request_bytes: int
    rescue: FailureRescue | None
    fingerprint: NotRequired[str]
    refused: NotRequired[str | None]
    """The cause for which the router refused the answer, for example `response_transfer_encoding_repeated`."""


class IncidentFailures(TypedDict):
    """The captured failing requests. `seen`: all that were captured."""

    known: bool
    seen: NotRequired[int]
    why: str
    items: list[CapturedFailure]


class CauseCandidate(TypedDict):
    """A possible cause with its evidence."""

    kind: str
    strength: Literal["strong", "some", "weak"]
    claim: str
    evidence: list[str]


class TimelineLine(TypedDict):
    """One event. `t_s`: seconds after the decision; `seq`: the entry of the journal."""

    at: str
    t_s: float
    kind: str
    text: str
    actor: str | None
    seq: int | None


class IncidentAction(TypedDict):
    """An action that operators have recorded."""

    id: str
    kind: Literal["corrective", "preventive"]
    what: str
    owner: str | None
    due: str | None
    state: Literal["open", "done", "dropped"]


class IncidentComment(TypedDict):
    """A comment."""

    at: str
    actor: str
    text: str


class IncidentReview(TypedDict):
    """What operators have recorded."""

    revision: int
    status: Literal["open", "reviewed", "closed"]
    severity: str | None
    owner: str | None
    root_cause: str | None
    actions: list[IncidentAction]
    comments: list[IncidentComment]
    at: str | None
    actor: str | None


class RecordState(TypedDict):
    """What the document lacks, and why."""

    format: int
    complete: bool
    reconstructed: bool
    notes: list[str]


class IncidentDocument(IncidentRecord):
    """A rollback in full."""

    summary: str
    nothing_useful: bool
    times: IncidentTimes
    durations: IncidentDurations
    impact: IncidentImpact
    windows: IncidentWindows | None
    failures: IncidentFailures
    candidates: list[CauseCandidate]
    timeline: list[TimelineLine]
    timeline_left_out: int
    review: IncidentReview
    revision: int
    record: RecordState
