"""The documents of drills, as the admin API returns them. Times are RFC 3339."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from router.control.views.addon_answers import DrillSummary


class DrillPerformance(TypedDict):
    """The figures of a version in a period of a drill."""

    seconds: float
    requests: int
    faults: float
    fault_share: float | None
    late: float
    timed: int
    late_after_ms: float | None
    p50_ms: float | None
    p99_ms: float | None


class DrillSwap(TypedDict):
    """One swap of a drill. `home`: back to the version that served before."""

    home: bool
    generation: int
    at: str
    swap_us: float | None
    confirmed_ms: float | None
    workers_unconfirmed: list[int]


_Ends = TypedDict("_Ends", {"from": str | None, "to": str | None})


class DrillPlanDocument(_Ends):
    """What a drill does: it swaps `from` one version `to` the other one and back."""

    drill: str
    mode: Literal["real", "shadow"]
    by: str
    reason: str
    hold_s: float


class DrillDryRun(DrillPlanDocument):
    """The answer of a dry run."""

    service: str
    dry_run: bool
    message: str


class DrillDocument(_Ends):
    """One drill. A drill under way has what was measured so far. A measurement that was not made is left out."""

    service: str
    drill: NotRequired[str]
    mode: NotRequired[Literal["real", "shadow"]]
    by: NotRequired[str]
    reason: NotRequired[str]
    hold_s: NotRequired[float]
    actor: NotRequired[str]
    phase: str
    started_at: str
    ended_at: str | None
    result: str | None
    reasons: NotRequired[list[str]]
    codes: NotRequired[list[str]]
    gate_ms: NotRequired[float | None]
    swaps: NotRequired[list[DrillSwap]]
    away_s: NotRequired[float | None]
    before: NotRequired[DrillPerformance | None]
    during: NotRequired[DrillPerformance | None]
    clients: NotRequired[dict[str, int] | None]
    probe_ms: NotRequired[float]
    gate_us: NotRequired[float]
    encode_us: NotRequired[float]
    journal_ms: NotRequired[float]
    workers_behind: NotRequired[list[int]]
    heartbeat_age_max_s: NotRequired[float | None]


class DrillsList(TypedDict):
    """All drills, newest first, and a summary by service."""

    drills: list[DrillDocument]
    services: dict[str, DrillSummary]
