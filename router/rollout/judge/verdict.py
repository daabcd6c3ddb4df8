"""One verdict from the results of all triggers: some demand a rollback, others a proposal, others are only reported."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from router.rollout.judge.baseline import Baseline
from router.rollout.judge.rules import Action

Kind = Literal["hard_failure", "error_rate", "latency", "quality", "business"]
Detail = Literal[
    "errors", "unreachable", "hang", "no_progress", "useful_share", "probe", "throttled", "alert", "inputs", ""
]
State = Literal["pass", "fail", "inconclusive", "not_configured"]


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """The result of one trigger at one tick. `value`, `limit` and `baseline` are shares (0 to 1), for `unreachable`, `hang`,
    `no_progress` and `probe` seconds, for `alert` a number of alerts; None means "no number", never zero. `samples`: the number
    of requests, faults, waits, attempts or alerts behind the result.
    """

    kind: Kind
    detail: Detail
    state: State
    action: Action
    reason: str
    distance: str = ""
    """The evidence that is missing until the trigger decides, or acts."""
    failing: bool = False
    """The trigger fails and the failure is sustained: the action is due now."""
    value: float | None = None
    limit: float | None = None
    baseline: float | None = None
    samples: int = 0
    window_s: float | None = None
    sustained_s: float = 0.0
    sustained_needed_s: float = 0.0
    evidence_since_ns: int | None = None
    """Monotonic time of the first fault, or of the first wait, in the evidence."""

    @property
    def name(self) -> str:
        """`hard_failure.hang`, `error_rate`: the name in logs and metrics."""
        return f"{self.kind}.{self.detail}" if self.detail else self.kind

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for explain, the journal and incidents."""
        return asdict(self)

    def sustained(self, sustained_s: float, needed_s: float, is_sustained: bool) -> TriggerResult:
        """Return this result with the seconds for which it has failed; it acts if `is_sustained`."""
        failing = self.state == "fail" and is_sustained
        distance = self.distance
        if self.state == "fail":
            distance = "acts now" if failing else f"acts after {needed_s - sustained_s:.1f} s more of this"
        return replace(self, failing=failing, distance=distance, sustained_s=sustained_s, sustained_needed_s=needed_s)


NoteCode = Literal[
    "queue_grows",
    "nothing_useful",
    "poison_request",
    "one_client_fails",
    "both_fail",
    "version_throttles",
    "standby_smaller",
    "endpoint_ejected",
    "probe_unauthorised",
]


@dataclass(frozen=True, slots=True)
class Note:
    """What an operator should know although it demands no rollback: an alarm while it is in the verdict. `code` is its code."""

    code: NoteCode
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`failing` is the first result that demands a rollback; `observing` are failing results with another action.

    `accepted` is set at the tick at which the acceptance criteria are met, and at each new estimate of the baseline.
    `notes`: at most one of each code.
    """

    state: Literal["pass", "fail", "inconclusive"]
    results: tuple[TriggerResult, ...]
    failing: TriggerResult | None = None
    observing: tuple[TriggerResult, ...] = ()
    accepted: Baseline | None = None
    notes: tuple[Note, ...] = ()
    pending: bool = field(init=False, repr=False, compare=False)
    """Whether any trigger fails, sustained or not: meanwhile no version is accepted and no baseline estimated."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pending", any(result.state == "fail" for result in self.results))


def with_cause(verdict: Verdict, cause: str) -> Verdict:
    """Return the verdict with `cause` in the reason of each failing result that counts faults; the same without a cause."""
    if not cause or not verdict.pending:
        return verdict

    def named(result: TriggerResult) -> TriggerResult:
        counts_faults = result.detail == "errors" or result.kind == "error_rate"
        fails = result.state == "fail" and counts_faults
        return replace(result, reason=f"{result.reason}; {cause}") if fails else result

    failing = None if verdict.failing is None else named(verdict.failing)
    observing = tuple(map(named, verdict.observing))
    return replace(verdict, results=tuple(map(named, verdict.results)), failing=failing, observing=observing)


def conclude(
    results: tuple[TriggerResult, ...], accepted: Baseline | None = None, notes: tuple[Note, ...] = ()
) -> Verdict:
    """Return the verdict: fail if a rollback is due, else pass if any trigger could decide, else inconclusive."""
    due = [result for result in results if result.failing]
    failing = next((result for result in due if result.action == "rollback"), None)
    observing = tuple(result for result in due if result.action != "rollback")
    # Without requests, the absence of alerts and of input drift is no evidence for the version.
    decided = any(result.state in ("pass", "fail") and result.detail not in ("alert", "inputs") for result in results)
    state: Literal["pass", "fail", "inconclusive"] = "fail" if failing else "pass" if decided else "inconclusive"
    return Verdict(state, results, failing, observing, accepted, notes)
