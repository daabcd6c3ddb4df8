"""The settings of the triggers as plain values (docs/behaviour/judging.md#triggers). A name ends with its unit.

`router/settings` fills them from TOML, environment and flags, and refuses unknown members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Action = Literal["rollback", "ask", "observe"]
SloOn = Literal["first_byte", "useful", "last_byte"]
"""The action of a failing trigger: roll back, make a proposal to an operator, or only report."""

_STRICT: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class HardFailureRule:
    """The active version does not work at all: errors, unreachable, hang."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"
    """What the trigger does: "rollback", "ask" an operator, or "observe" (report only)."""
    burst_windows_s: tuple[float, ...] = (2.0, 5.0, 20.0)
    """Windows in which a burst of faults is looked for."""
    burst_faults_min: int = 10
    """Fewer faults in a window are no burst."""
    burst_fault_share: float = 0.9
    """Share of faults in a window from which it is a burst."""
    streak_faults_min: int = 5
    """This many faults in a row, without a success, are a streak."""
    streak_span_s: float = 10.0
    """A streak must last this long."""
    unreachable_after_s: float = 1.0
    """All connection attempts fail for this time."""
    unreachable_by_probes_after_s: float = 5.0
    """All probes fail to connect for this time, without requests."""
    hang_after_s: float | None = None
    """No answer has been useful, or no response has begun, for this time while requests wait. Unset: 3 × the p99 of the
    times to the first useful byte, at least hang_after_min_s."""
    hang_after_min_s: float = 10.0
    """Lower bound of the automatic hang_after_s."""
    hang_after_max_s: float = 50.0
    """The automatic hang_after_s while nothing is known: neither from this version, nor from an earlier one, nor by an
    inference probe that passes."""
    hang_wait_min_s: float = 1.0
    """A request counts as waiting after this time."""
    hang_waits_min: int = 3
    """Fewer waiting requests are no hang."""
    hang_samples_min: int = 100
    """Answers of this version from which its own p99 counts. Before, earlier versions count."""


@dataclass(frozen=True, slots=True)
class WindowPair:
    """The long window gives the evidence, the short one shows that it still happens (SRE workbook, ch. 5)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    long_s: float
    """Length of the long window."""
    short_s: float
    """Length of the short window."""
    requests_min: int
    """With fewer requests in the long window the pair is inconclusive."""


@dataclass(frozen=True, slots=True)
class ErrorRateRule:
    """The share of faults is above the normal share of this service, with confidence."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"
    """What the trigger does: "rollback", "ask" an operator, or "observe" (report only)."""
    windows: tuple[WindowPair, ...] = (
        WindowPair(60.0, 10.0, 50),
        WindowPair(300.0, 60.0, 20),
        WindowPair(900.0, 120.0, 20),
    )
    """Pairs of windows. The long window gives the evidence, the short one shows that the faults go on."""
    faults_min: int = 5
    """Fewer faults in the long window never fail."""
    confidence: float = 0.999
    """Confidence with which the share of faults must be above the limit."""
    baseline_confidence: float = 0.95
    """Confidence of the upper bound of the baseline's share of faults."""
    baseline_factor: float = 2.0
    """The limit is this many times the upper bound of the baseline."""
    rate_floor: float = 0.02
    """The limit is at least this share of faults."""
    rate_floor_without_baseline: float = 0.05
    """The limit without a baseline."""
    sustained_s: float = 10.0
    """The trigger acts after failing for this time."""


@dataclass(frozen=True, slots=True)
class LatencyRule:
    """Too many responses are later than the service's objective. Not configured without `slo_ms`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"
    """What the trigger does: "rollback", "ask" an operator, or "observe" (report only)."""
    slo_ms: float | None = None
    """A response is late after this time. Unset: the trigger is off."""
    slo_on: SloOn = "first_byte"
    """What must arrive within slo_ms: the first byte of the response; the first useful byte (of an event stream its
    first content, of another answer its end); or the last byte."""
    slo_share: float = 0.05
    """Share of responses that may be late."""
    window_s: float = 60.0
    """Length of the window."""
    requests_min: int = 50
    """With fewer requests in the window the trigger is inconclusive."""
    confidence: float = 0.999
    """Confidence with which the share of late responses must be above slo_share."""
    sustained_s: float = 300.0
    """The trigger acts after failing for this time."""
    fast_factor: float = 3.0
    """Responses later than this many times slo_ms count for the fast path."""
    fast_share: float = 0.5
    """Share of such responses from which the trigger acts after fast_sustained_s."""
    fast_sustained_s: float = 30.0
    """The fast path acts after failing for this time."""


@dataclass(frozen=True, slots=True)
class QualityRule:
    """An alert of kind "quality" about the active version is firing; see [alerts]."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"
    """What the trigger does: "rollback", "ask" an operator, or "observe" (report only)."""


@dataclass(frozen=True, slots=True)
class BusinessRule:
    """An alert of kind "business" about the active version is firing; see [alerts]. The model may not be the cause, so
    it never rolls back by itself."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Literal["ask", "observe"] = "ask"
    """What the trigger does: "ask" an operator, or "observe" (report only)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When the active version counts as failed. Each trigger has an action."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    hard_failure: HardFailureRule = field(default_factory=HardFailureRule)
    error_rate: ErrorRateRule = field(default_factory=ErrorRateRule)
    latency: LatencyRule = field(default_factory=LatencyRule)
    quality: QualityRule = field(default_factory=QualityRule)
    business: BusinessRule = field(default_factory=BusinessRule)
    sustained_share: float = 0.8
    """Sustained: the trigger fails at every conclusive tick of the period, and in at least this share of all its ticks.
    """
    warmup_s: float = 30.0
    """For this time after a promotion the latency trigger is inconclusive. Until 20 answers were useful, a wait is no
    hang before this time, unless inference probes have passed. Errors count from the first request."""
    forgive_s: float = 2.0
    """Failures within one burst of this length are no verdict, unless the version is unreachable."""
    baseline_requests_min: int = 200
    """Requests of an accepted version that a baseline needs."""
    stall_s: float = 1.0
    """If this router's own loop was late by more than this, error_rate and latency pause."""
    router_fault_share_max: float = 0.01
    """If more than this share of exchanges in 60 s ended by a fault of this router, error_rate and latency pause."""
