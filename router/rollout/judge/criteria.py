"""The acceptance criteria of a promoted version. An accepted version becomes the baseline of its service.

A criterion is met, not met, unknown (too few samples) or not configured. A version is accepted when no criterion is unmet or
unknown. Until then it stays on probation, and status shows the unmet criteria. Unmet criteria never roll back; triggers do.
Shares are those observed since a trigger last failed, without confidence: after `requests_min` requests they are what clients
have seen.

Metrics with a limit, from the settings or added by a rollback (the stricter limit counts):

    metric              is
    fault_share         faults ÷ requests
    invalid_share       answers that a validator rejected ÷ requests
    late_share          first bytes (useful ones, or whole answers: rules.latency.slo_on) later than slo_ms ÷ answers
    first_byte_p99_ms   p99 of the first-byte times
    longest_wait_s      the longest wait for a first byte in the last `after_s`
    quality_alerts      alerts about its quality that are firing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Literal

from router.rollout.judge.baseline import Baseline, lateness
from router.rollout.judge.rules import LatencyRule, SloOn
from router.rollout.stats.bounds import is_above
from router.rollout.stats.histogram import quantile
from router.runtime.text.plurals import counted

METRICS: Final = ("fault_share", "invalid_share", "late_share", "first_byte_p99_ms", "longest_wait_s", "quality_alerts")
SHARES: Final = frozenset({"fault_share", "invalid_share", "late_share"})
TIMED_MIN: Final = 100
"""With fewer timed answers the p99 is their maximum."""
CONFIDENCE: Final = 0.95
USEFUL_SHARE_FACTOR: Final = 0.5
"""The share of useful attempts must be at least this much of the earlier one."""

State = Literal["met", "not_met", "unknown", "not_configured"]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The criteria that a promoted version must meet before it is accepted and becomes the baseline. Until then it
    stays on probation. Unmet criteria never roll back. A limit that is unset is no criterion."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    after_s: float = 600.0
    """Seconds since the promotion and since a trigger last failed."""
    requests_min: int = 500
    """Useful answers in that time."""
    fault_share_max: float | None = None
    """Largest share of faults."""
    fault_factor_max: float | None = None
    """Faults must not be, with 95 % confidence, above this many times the baseline's. No criterion without a baseline.
    """
    late_share_max: float | None = None
    """Largest share of responses that are later than rules.latency.slo_ms."""
    first_byte_p99_ms_max: float | None = None
    """Largest p99 of the first-byte times."""
    longest_wait_s_max: float | None = None
    """Longest wait for a first byte in the last `after_s`."""
    invalid_share_max: float | None = None
    """Largest share of responses that a validator rejected."""
    quality_alerts_max: float | None = 0.0
    """Alerts about the version's quality that may be firing."""
    cases: Literal["required", "off"] = "off"
    """With "required" the last check of the captured cases against this deployment of the version must have passed."""
    learn: bool = True
    """The trigger of an automatic rollback adds its metric and limit for the next versions."""

    def limits(self) -> dict[str, float]:
        """Return the limit of each metric that has one."""
        found = {metric: getattr(self, f"{metric}_max") for metric in METRICS}
        return {metric: limit for metric, limit in found.items() if limit is not None}


NOT_LATE: Final = "rules.latency.slo_ms is not set, so no answer counts as late"


@dataclass(frozen=True, slots=True)
class Observed:
    """The observations of a version since a trigger last failed. `cases`: (passed, detail) of its last check; None
    without a check. `useful`: useful answers; `useful_share` and `useful_share_before`: their share of this version and of the
    baseline, or of the version before; None if unknown.
    """

    requests: int = 0
    clean_s: float = 0.0
    faults: float = 0.0
    invalid: int = 0
    first_byte: Sequence[int] = ()
    duration: Sequence[int] = ()
    abandoned: Sequence[int] = ()
    longest_wait_s: float = 0.0
    quality_alerts: int = 0
    cases: tuple[bool, str] | None = None
    useful: int | None = None
    useful_share: float | None = None
    useful_share_before: float | None = None
    first_useful: Sequence[int] = ()

    def answered(self, slo_on: SloOn) -> Sequence[int]:
        """Return the times of the answers, as `rules.latency.slo_on` counts them."""
        return {"first_byte": self.first_byte, "useful": self.first_useful, "last_byte": self.duration}[slo_on]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion with its numbers. `origin`: `settings`, the incident that added it, or the actor that set it."""

    name: str
    state: State
    value: float | None = None
    limit: float | None = None
    samples: int = 0
    reason: str = ""
    origin: str = "settings"

    @property
    def passes(self) -> bool:
        """Whether the criterion allows acceptance."""
        return self.state in ("met", "not_configured")

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def criteria(
    observed: Observed,
    settings: Acceptance,
    added: Mapping[str, Mapping[str, Any]],
    latency: LatencyRule,
    baseline: Baseline | None,
) -> tuple[Criterion, ...]:
    """Return every criterion; `added` are those of the registry, {metric: {limit, origin}}."""
    found = [
        _requests(observed, settings),
        _at_least("seconds", round(observed.clean_s, 1), settings.after_s, observed.requests),
    ]
    for metric, (limit, origin) in strictest(settings, added).items():
        if metric == "late_share" and latency.slo_ms is None:
            found.append(Criterion(metric, "not_configured", None, limit, reason=NOT_LATE, origin=origin))
            continue
        value, samples = _measured(metric, observed, latency)
        found.append(_at_most(metric, value, limit, samples, origin))
    if settings.fault_factor_max is not None:
        found.append(_against_baseline(observed, settings.fault_factor_max, baseline))
    if observed.useful_share_before is not None:
        found.append(_useful_share(observed, observed.useful_share_before))
    found.append(_cases(observed, settings))
    return tuple(found)


def strictest(settings: Acceptance, added: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, str]]:
    """Return {metric: (limit, origin)} of settings and registry together; of two limits the lower one."""
    found = {metric: (limit, "settings") for metric, limit in settings.limits().items()}
    for metric, criterion in added.items():
        limit = float(criterion["limit"])
        if metric in METRICS and (metric not in found or limit < found[metric][0]):
            found[metric] = (limit, str(criterion["origin"]))
    return {metric: found[metric] for metric in METRICS if metric in found}


def learned(trigger: Mapping[str, Any], rate_floor: float, slo_share: float) -> tuple[str, float] | None:
    """Return the (metric, limit) that a rollback by `trigger` adds; None if the trigger has no metric.

    A hard failure adds `rate_floor` as the limit of faults: its own limit, 90 %, would be useless.
    """
    kind, detail, limit = trigger.get("kind"), trigger.get("detail"), trigger.get("limit")
    match kind:
        case "hard_failure" if detail in ("no_progress", "useful_share", "probe"):
            return None
        case "hard_failure" if detail == "hang":
            return ("longest_wait_s", float(limit)) if limit else None
        case "hard_failure":
            return "fault_share", rate_floor
        case "error_rate":
            return "fault_share", float(limit) if limit else rate_floor
        case "latency":
            return "late_share", slo_share
        case "quality":
            return "quality_alerts", 0.0
        case _:
            return None


def _measured(metric: str, observed: Observed, latency: LatencyRule) -> tuple[float | None, int]:
    """Return (value, number of samples); the value is None with too few samples."""
    match metric:
        case "fault_share":
            return (observed.faults / observed.requests if observed.requests else None), observed.requests
        case "invalid_share":
            return (observed.invalid / observed.requests if observed.requests else None), observed.requests
        case "late_share":
            assert latency.slo_ms is not None
            late, timed = lateness(observed.answered(latency.slo_on), observed.abandoned, latency.slo_ms * 1000)
            return (late / timed if timed else None), round(timed)
        case "first_byte_p99_ms":
            answers = sum(observed.first_byte)
            micros = quantile(observed.first_byte, 0.99) if answers >= TIMED_MIN else None
            return (None if micros is None else round(micros / 1000, 3)), answers
        case "longest_wait_s":
            return round(observed.longest_wait_s, 1), observed.requests
        case _:
            return float(observed.quality_alerts), observed.requests


def _requests(observed: Observed, settings: Acceptance) -> Criterion:
    """Useful answers count. Where they are unknown, requests do."""
    number = observed.requests if observed.useful is None else observed.useful
    return _at_least("requests", float(number), float(max(settings.requests_min, 1)), observed.requests)


def _useful_share(observed: Observed, before: float) -> Criterion:
    """A version of which much less is useful than of the one before is not accepted."""
    value, limit = observed.useful_share, USEFUL_SHARE_FACTOR * before
    if value is None:
        return Criterion("useful_share", "unknown", None, limit, observed.requests, "too few answers")
    state: State = "met" if value >= limit else "not_met"
    text = f"{value:.2%} of the attempts were useful, at least {limit:.2%}"
    return Criterion("useful_share", state, value, limit, observed.requests, text)


def _at_least(name: str, value: float, minimum: float, samples: int) -> Criterion:
    state: State = "met" if value >= minimum else "not_met"
    return Criterion(name, state, value, minimum, samples, f"{value:g} of {minimum:g}")


def _at_most(metric: str, value: float | None, limit: float, samples: int, origin: str) -> Criterion:
    if value is None:
        return Criterion(metric, "unknown", None, limit, samples, "too few answers", origin)
    state: State = "met" if value <= limit else "not_met"
    text = f"{value:.2%}, limit {limit:.2%}" if metric in SHARES else f"{value:g}, limit {limit:g}"
    return Criterion(metric, state, value, limit, samples, text, origin)


def _against_baseline(observed: Observed, factor: float, baseline: Baseline | None) -> Criterion:
    if baseline is None:
        return Criterion("fault_factor", "not_configured", reason="there is no baseline yet")
    limit, share = min(1.0, factor * baseline.upper), observed.faults / max(observed.requests, 1)
    surely = is_above(observed.faults, observed.requests, limit, CONFIDENCE)
    text = f"{share:.2%} of {counted(observed.requests, 'request')}, {factor:g} × the baseline is {limit:.2%}"
    state: State = "not_met" if surely else "met"
    return Criterion("fault_factor", state, share, limit, observed.requests, text)


def _cases(observed: Observed, settings: Acceptance) -> Criterion:
    if settings.cases == "off":
        return Criterion("cases", "not_configured", reason="acceptance.cases is off")
    if observed.cases is None:
        return Criterion("cases", "unknown", reason="its cases were not checked yet")
    passed, detail = observed.cases
    return Criterion("cases", "met" if passed else "not_met", reason=detail)
