"""The documents of status, explain and the journal, as the admin API returns them. Times are RFC 3339.

A member that is not required belongs to an add-on.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from router.control.views.addon_answers import (
    AlertDocument,
    CasesStatus,
    DrillSummary,
    InputsStatus,
    MlflowStatus,
    NotificationsStatus,
    ProposalDocument,
)
from router.control.views.headline import HeadlineDocument
from router.control.views.triggers import TriggerDocument
from router.control.views.verbs import VerbStatus
from router.rollout.judge.criteria import Criterion


class ControlProcess(TypedDict):
    """The process that answers."""

    pid: int
    started_at: str
    starts: int
    """Starts of control since the router was started."""


class WorkerStatus(TypedDict):
    """One worker, from its own words in shared memory."""

    index: int
    pid: int | None
    up: bool
    heartbeat_age_s: float | None
    loop_lag_s: float
    connections: int
    connections_total: int
    starts: int
    draining: bool


class ActiveAlarm(TypedDict):
    """An active alarm. `service` is null if it concerns the whole router."""

    code: str
    detail: str
    since: str
    service: str | None


class SettingsStatus(TypedDict):
    """The settings in effect. `differences`: where the journal and the settings name different versions."""

    origin: str
    version: int
    differences: list[str]


class ChangeInDoubt(TypedDict):
    """A change that the disk did not confirm in time. `outcome` is null until it is decided."""

    seq: int
    type: str
    service: str | None
    actor: str
    at: str
    outcome: str | None


class JournalStatus(TypedDict):
    """The journal. `waiting`: entries that the disk has not taken yet."""

    waiting: int
    in_doubt: list[ChangeInDoubt]
    decided: list[ChangeInDoubt]


class UnmatchedRequests(TypedDict):
    """Requests that no service matched, by outcome."""

    accepted: int
    ended: dict[str, int]


class ClientPlaces(TypedDict):
    """The places that one client holds."""

    client: str
    tunnels: int
    streams: int
    waiting: int
    sending: int


class VersionPlaces(TypedDict):
    """The places taken at one version: tunnels, responses being streamed, waiting requests, requests being sent."""

    service: str
    version: str
    tunnels: int
    streams: int
    waiting: int
    sending: int
    clients: list[ClientPlaces]
    """The five clients that hold the most."""


class LastProbe(TypedDict):
    """The last probe of an endpoint."""

    ok: bool
    unknown: bool
    detail: str
    ms: float
    age_s: float


class EndpointStatus(TypedDict):
    """One endpoint of a version, with its attempts of the last minute at most."""

    url: str
    ready: bool
    last_probe: LastProbe | None
    share: float | None
    """Its part of the attempts of the version; null without attempts."""
    requests_per_s: float | None
    """Attempts per second."""
    fault_rate: float | None
    in_flight: int
    ejected_until: str | None
    """When it gets requests again; null if it is not ejected, or if one of its addresses is not."""


class ReplicaStatus(TypedDict):
    """One address of a version that has several. `attempts` and `faults` count since the version was deployed, or since the
    address came to be used.
    """

    name: str
    """The endpoint, and the address if the endpoint has a name."""
    in_flight: int
    attempts: int
    faults: int
    faults_in_a_row: int
    probe_fails: bool
    ejected_for_s: float | None
    """Seconds until the address gets requests again; null if it is not ejected."""


class TargetTotals(TypedDict):
    """The counters of a version since it was deployed."""

    attempts: int
    begun: int
    rescued: int
    stale_connections: int
    outcomes: dict[str, int]
    refused_answers: dict[str, int]
    """Answers that the router refused as malformed, by cause; causes without any are left out."""


class TargetWindow(TypedDict):
    """The figures of a version in a window. Times are to the first byte, those with `useful` to the first useful byte."""

    asked: int
    """Attempts that began in the window."""
    useful: int | None
    """Attempts that became useful in the window; null if it is unknown. Some of them may have begun before."""
    without_use: int | None
    """Attempts that ended in the window without use, for any reason."""
    given_up: int | None
    """Attempts that the client left before they were useful."""
    requests: int
    """Attempts whose response began in the window, or that failed before."""
    faults: int
    fault_rate: float | None
    requests_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    useful_p50_ms: float | None
    useful_p95_ms: float | None
    useful_p99_ms: float | None


class WorkStatus(TypedDict):
    """One work bucket of a version since it was deployed. `bucket`: method and path template."""

    bucket: str
    inference: bool
    asked: int
    """Attempts: asked = useful + without use + open."""
    useful: int
    without_use: dict[str, int]
    """Attempts that ended without use, by how they ended."""
    in_progress: int
    """Open attempts whose body has begun, event streams left out."""
    waiting: int
    overdue: int
    """The part of `waiting` that waits longer than `limit_s`."""
    oldest_wait_s: float | None
    last_useful_s: float | None
    """Seconds since the last useful answer."""
    limit_s: float | None
    """A longer wait is overdue; null while nothing is known."""
    median_s: float | None
    """Median time to a useful answer."""


class ProgressStatus(TypedDict):
    """How long the active version has had no useful answer to inference, in requests since it was deployed."""

    nothing_useful: bool
    """No answer was useful for `limit_s`, although requests wait or were lost."""
    wanting: bool
    """Requests wait, or were lost since the last useful answer, and no body moves."""
    since_s: float
    """Seconds since the last useful answer, or since the version began to serve."""
    limit_s: float
    """The longest normal wait."""
    waiting: int
    useful: int
    asked: int


class TargetStatus(TypedDict):
    """A version that has a slot."""

    version: str
    slot: int
    role: str
    state: str
    ready: bool
    endpoints: list[EndpointStatus]
    replicas: list[ReplicaStatus]
    """Its addresses; empty if it has only one."""
    endpoints_good: int
    """Endpoints whose last probe was good."""
    probe_failure: str | None
    """What is wrong with the newest probes, by endpoint; null if nothing is."""
    identity: dict[str, Any] | None
    """What the probe answered when the version was verified: `probe`, `status` (2: 2xx), `models`, `certificate`."""
    rewrite: dict[str, str]
    """How requests to the version differ from the client's: `host`, `path_prefix`, `headers_file`."""
    good_probes: int
    good_probes_needed: int | None
    quarantined: str | None
    """Reason of the quarantine."""
    in_flight: int
    waiting: int
    tunnels: int
    oldest_waiting_s: float | None
    since: str
    totals: TargetTotals
    windows: dict[str, TargetWindow | None]
    """By length: `10s` and `60s`."""
    work: list[WorkStatus]
    """By work bucket, inference first."""
    last_useful_age_s: float | None
    """Seconds since the last useful answer to inference; null if there was none."""
    asked_since_useful: int | None
    """Attempts of inference that were asked since, at least; all of them if no answer was useful; null without any."""


class ServiceRequests(TypedDict):
    """The requests of a service, by outcome."""

    accepted: int
    in_flight: int
    ended: dict[str, int]


class FreezeStatus(TypedDict):
    """Who has frozen automation, when and why."""

    actor: str
    reason: str
    at: str


_SwitchEnds = TypedDict("_SwitchEnds", {"from": str | None, "to": str | None})


class LastSwitch(_SwitchEnds):
    """The last switch of a service. `cause`: `verdict` or `operator`."""

    at: str
    type: str
    cause: Literal["verdict", "operator"]
    actor: str
    reason: str
    generation: int
    swap_us: float | None
    confirmed_ms: float | None
    trigger: dict[str, Any] | None
    journalled: bool


class TriggerSummary(TypedDict):
    """One trigger in short; `explain` has all of it."""

    kind: str
    detail: str
    state: str
    reason: str


class VerdictStatus(TypedDict):
    """The verdict about the active version."""

    state: Literal["pass", "fail", "inconclusive"]
    triggers: list[TriggerSummary]


class BaselineStatus(TypedDict):
    """The usual share of faults of the accepted version, with its bounds."""

    requests: int
    faults: float
    rate: float
    lower: float
    upper: float


class AcceptanceProgress(TypedDict):
    """How far the active version is from acceptance."""

    accepted: bool
    requests: int
    requests_needed: int
    seconds: float
    seconds_needed: float
    criteria: list[Criterion]


class ServiceStatus(TypedDict):
    """One service."""

    service: str
    generation: int
    headline: HeadlineDocument
    state: Literal["no_active", "no_better_target", "drill", "rolling_back", "accepted", "probation"]
    observe: bool
    """Whether every rule only observes, so that nothing is rolled back automatically."""
    active: str | None
    standby: str | None
    candidate: str | None
    way_back: bool
    """Whether a warm standby is ready."""
    no_way_back: str | None
    """The reason why there is none."""
    frozen: FreezeStatus | None
    held: str | None
    """Why a due rollback is not done."""
    targets: list[TargetStatus]
    progress: ProgressStatus | None
    """Of the active version; null before its first request of inference."""
    exchanges: ServiceRequests
    rescued: int
    last_switch: LastSwitch | None
    verdict: VerdictStatus
    baseline: BaselineStatus | None
    acceptance: AcceptanceProgress
    alerts: NotRequired[list[AlertDocument]]
    cases: NotRequired[CasesStatus]
    drill: NotRequired[DrillSummary]
    incidents_open: NotRequired[list[str]]
    inputs: NotRequired[InputsStatus | None]
    mlflow: NotRequired[MlflowStatus]
    notifications: NotRequired[NotificationsStatus]
    proposals: NotRequired[list[ProposalDocument]]
    validated: NotRequired[dict[str, dict[str, int]]]
    verbs: NotRequired[dict[str, VerbStatus]]
    """Whether each verb would be accepted now: `rollback`, `promote`, … Not within the status of the router."""


class RouterStatus(TypedDict):
    """The whole router."""

    version: str
    build: str
    boot: int
    control: ControlProcess
    workers: list[WorkerStatus]
    alarms: list[ActiveAlarm]
    settings: SettingsStatus
    journal: JournalStatus
    unmatched: UnmatchedRequests
    limited: dict[str, int]
    holdings: list[VersionPlaces]
    services: dict[str, ServiceStatus]


class SettingsDocument(TypedDict):
    """The settings in effect. Secrets are "(hidden)"; user information and queries of URLs are left out."""

    origin: str
    """The file from which they were read, or what stands in its place."""
    version: int
    """Grows with each reload."""
    read_at: str
    settings: dict[str, Any]
    """The members of the settings file, defaults included; null: not set."""


class GateStatus(TypedDict):
    """Whether the gate would let an automatic rollback pass."""

    would_pass: bool
    reasons: list[str]


class LatencyObjective(TypedDict):
    """The objective of the service, of which at most `slo_share` of the answers may be later than `slo_ms`."""

    slo_ms: float | None
    slo_on: str
    slo_share: float


class ExplainedRules(TypedDict):
    """The rules that a page shows beside the figures."""

    latency: LatencyObjective


class Explanation(TypedDict):
    """Why automation did or did not act."""

    service: str
    active: str | None
    generation: int
    frozen: bool
    unwell: str | None
    """Why triggers pause: the router itself is not healthy."""
    verdict: Literal["pass", "fail", "inconclusive"]
    triggers: list[TriggerDocument]
    rules: ExplainedRules
    gate: GateStatus
    acceptance: list[Criterion]
    work: list[WorkStatus]
    """What the requests to the active version came to."""
    progress: ProgressStatus | None
    summary: str
    inputs: NotRequired[InputsStatus | None]
    validated: NotRequired[dict[str, dict[str, int]]]


class JournalEntry(TypedDict):
    """One entry of the journal. `seq` is null until it is on the disk. The members of `data` depend on `type`."""

    seq: int | None
    at: str
    monotonic_ns: int
    boot: int
    service: str | None
    type: str
    actor: str
    data: dict[str, Any]
    text: str
    """The entry in one line, as the timeline of an incident has it."""


class JournalPage(TypedDict):
    """Entries of the journal, oldest first; with `before` newest first."""

    entries: list[JournalEntry]
