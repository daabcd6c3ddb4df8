"""The documents of history, report and advice, as the admin API returns them. Times are RFC 3339, unknown values null."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict


class HistoryPoint(TypedDict):
    """The figures of a version, or of the whole service (`version` null), in one step."""

    at: str
    version: str | None
    role: str
    seconds: float
    asked: int
    """Attempts; of the whole service: accepted requests."""
    requests: int
    faults: float
    p50_ms: float | None
    p95_ms: float | None
    """Of steps of a second only, as the times with `useful`."""
    p99_ms: float | None
    rescued: int
    abandoned_long: int
    stalled_s: float
    waiting_max: int
    ready: bool | None
    verdict: str | None
    useful: int | None
    """Attempts that became useful; null for the whole service."""
    without_use: int | None
    useful_p50_ms: float | None
    useful_p95_ms: float | None
    useful_p99_ms: float | None


class HistoryDocument(TypedDict):
    """The rows of a service in steps. `complete` is false if there were more points than are returned."""

    service: str
    since: str
    until: str
    step_s: float
    complete: bool
    points: list[HistoryPoint]


class CoverageFigures(TypedDict):
    """How much of the period the history has."""

    rows: int
    seconds: float
    share: float


class UptimeFigures(TypedDict):
    """Share of requests that did not fail, with its lower bound (95 %)."""

    share: float | None
    at_least: float | None
    requests: int
    failed: int
    rescued: int
    accepted: int
    ended: dict[str, int]


class UptimeByTimeFigures(TypedDict):
    """Share of the time with traffic in which at most `fault_share_max` of the requests failed."""

    share: float | None
    seconds: float
    bad_s: float
    idle_s: float
    fault_share_max: float


class StabilityFigures(TypedDict):
    """Share of the judged time in which no trigger failed."""

    share: float | None
    within_s: float
    outside_s: float
    undecided_s: float


class DeploymentFigures(TypedDict):
    """Versions that became active for the first time."""

    count: int
    per_week: float | None
    days: float
    back_and_forth: int


class ChangeFailureFigures(TypedDict):
    """Deployments that ended in a rollback, with the bounds of their share (95 %)."""

    share: float | None
    failed: int
    deployments: int
    unreachable: int
    between: list[float] | None


class RollbackFigures(TypedDict):
    """Rollbacks in the period."""

    automatic: int
    manual: int
    incidents: list[str]


class TimeFigures(TypedDict):
    """Median and p95 of `n` known times of `rollbacks`."""

    median_s: float | None
    p95_s: float | None
    n: int
    rollbacks: int


class StandbyFigures(TypedDict):
    """Hours with a warm standby, and their cost."""

    hours: float
    price_per_hour: float | None
    cost: float | None
    currency: str | None


class ReportDocument(TypedDict):
    """The figures of a service in a period."""

    service: str
    since: str
    until: str
    seconds: float
    known_since: str
    journal_complete: bool
    coverage: CoverageFigures
    uptime: UptimeFigures
    uptime_by_time: UptimeByTimeFigures
    stability: StabilityFigures
    deployments: DeploymentFigures
    change_failures: ChangeFailureFigures
    rollbacks: RollbackFigures
    time_to_detect: TimeFigures
    time_to_restore: TimeFigures
    standby: StandbyFigures


class AdviceRollback(TypedDict):
    """A rollback that the replay is compared with. `at_s`: seconds since 1970."""

    at_s: float
    left: str
    by: str


class FalseAlarm(TypedDict):
    """An alarm of the replay without a rollback."""

    at_ms: int
    until_ms: int
    version: str
    value: float | None
    limit: float | None
    samples: int
    reason: str


class AdviceTrial(TypedDict):
    """What one set of limits would have done."""

    name: str
    settings: dict[str, Any]
    alarms: int
    caught: list[int]
    leads_s: list[float]
    false: int
    false_per_month: float
    false_per_month_between: list[float] | None
    seconds: float
    exhausted_ms: int | None
    false_alarms: list[FalseAlarm]


class AdviceKind(TypedDict):
    """The trials of one kind of trigger, and the proposed one."""

    action: str
    proposed: str
    why: str
    trials: list[AdviceTrial]


class ObservedAlarm(TypedDict):
    """When a rule without the action `rollback` would have acted."""

    trigger: str
    version: str
    at_ms: int
    until_ms: int


class AdviceDocument(TypedDict):
    """What stricter and looser limits would have done, and which to set."""

    service: str
    since: str
    until: str
    days: float
    rows: int
    rollbacks: list[AdviceRollback]
    kinds: dict[str, AdviceKind]
    settings: str
    observed: list[ObservedAlarm]
    notes: list[str]
    took_s: float
