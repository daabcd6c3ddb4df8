"""The settings of the triggers as plain values (README, "Triggers"). A name ends with its unit.

`router/settings` fills them from TOML, environment and flags, and refuses unknown members.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Action = Literal["rollback", "ask", "observe"]
"""The action of a failing trigger: roll back, make a proposal to an operator, or only report."""

_STRICT: dict[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class HardFailureRule:
    """The active version does not work at all: errors, unreachable, hang."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"
    burst_windows_s: tuple[float, ...] = (2.0, 5.0, 20.0)
    burst_faults_min: int = 10
    burst_fault_share: float = 0.9
    streak_faults_min: int = 5
    streak_span_s: float = 10.0
    unreachable_after_s: float = 1.0
    unreachable_by_probes_after_s: float = 5.0
    hang_after_s: float | None = None
    """None: 3 × the p99 of first-byte times seen so far, within the two bounds below."""
    hang_after_min_s: float = 10.0
    hang_after_max_s: float = 50.0
    hang_wait_min_s: float = 1.0
    hang_waits_min: int = 3
    hang_samples_min: int = 100


@dataclass(frozen=True, slots=True)
class WindowPair:
    """The long window gives the evidence, the short one shows that it still happens (SRE workbook, ch. 5)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    long_s: float
    short_s: float
    requests_min: int


@dataclass(frozen=True, slots=True)
class ErrorRateRule:
    """The share of faults is above the normal share of this service, with confidence."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"
    windows: tuple[WindowPair, ...] = (
        WindowPair(60.0, 10.0, 50),
        WindowPair(300.0, 60.0, 20),
        WindowPair(900.0, 120.0, 20),
    )
    faults_min: int = 5
    confidence: float = 0.999
    baseline_confidence: float = 0.95
    baseline_factor: float = 2.0
    rate_floor: float = 0.02
    rate_floor_without_baseline: float = 0.05
    sustained_s: float = 10.0


@dataclass(frozen=True, slots=True)
class LatencyRule:
    """Too many answers are later than the service's objective. Not configured without `slo_ms`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"
    slo_ms: float | None = None
    slo_on: Literal["first_byte", "last_byte"] = "first_byte"
    slo_share: float = 0.05
    window_s: float = 60.0
    requests_min: int = 50
    confidence: float = 0.999
    sustained_s: float = 300.0
    fast_factor: float = 3.0
    fast_share: float = 0.5
    fast_sustained_s: float = 30.0


@dataclass(frozen=True, slots=True)
class QualityRule:
    """An external check of inputs and outputs reports that the active version is bad."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Action = "rollback"


@dataclass(frozen=True, slots=True)
class BusinessRule:
    """A business metric is bad. The model may not be the cause, so an operator decides: never an automatic rollback."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    action: Literal["ask", "observe"] = "ask"


@dataclass(frozen=True, slots=True)
class Rules:
    """All settings of the judge of one service."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    hard_failure: HardFailureRule = field(default_factory=HardFailureRule)
    error_rate: ErrorRateRule = field(default_factory=ErrorRateRule)
    latency: LatencyRule = field(default_factory=LatencyRule)
    quality: QualityRule = field(default_factory=QualityRule)
    business: BusinessRule = field(default_factory=BusinessRule)
    sustained_share: float = 0.8
    """Sustained: the trigger fails at every conclusive tick of the period, and in at least this share of all its ticks."""
    warmup_s: float = 30.0
    """For this time after a promotion the latency trigger is inconclusive; errors count from the first request."""
    baseline_requests_min: int = 200
    stall_s: float = 1.0
    """If this router's own loop was late by more than this, error_rate and latency pause."""
    router_fault_share_max: float = 0.01
    """If more than this share of exchanges in 60 s ended by a fault of this router, error_rate and latency pause too."""
