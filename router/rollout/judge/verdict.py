"""Many trigger results make one verdict: what acts now, what only speaks, and what cannot be said yet."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from router.rollout.judge.baseline import Baseline
from router.rollout.judge.rules import Action

Kind = Literal["hard_failure", "error_rate", "latency", "quality", "business"]
Detail = Literal["errors", "unreachable", "hang", "alert", "inputs", ""]
State = Literal["pass", "fail", "inconclusive", "not_configured"]


@dataclass(frozen=True, slots=True)
class TriggerResult:
    """What one trigger found at one tick. `value`, `limit` and `baseline` are shares (0 to 1), for `unreachable` and `hang`
    seconds, for `alert` a number of alerts; None is "no such number", never zero. `samples`: the requests, faults, waits or
    alerts it rests on.
    """

    kind: Kind
    detail: Detail
    state: State
    action: Action
    reason: str
    distance: str = ""
    """What is missing until it decides, or acts."""
    failing: bool = False
    """It fails and has been sustained: the action is due now."""
    value: float | None = None
    limit: float | None = None
    baseline: float | None = None
    samples: int = 0
    window_s: float | None = None
    sustained_s: float = 0.0
    sustained_needed_s: float = 0.0
    evidence_since_ns: int | None = None
    """Monotonic time of the first fault, or of the first wait, of the evidence."""

    @property
    def name(self) -> str:
        """`hard_failure.hang`, `error_rate`: one word for logs and metrics."""
        return f"{self.kind}.{self.detail}" if self.detail else self.kind

    def as_dict(self) -> dict[str, Any]:
        """Return what explain, the journal and incidents show."""
        return asdict(self)

    def sustained(self, held_s: float, needed_s: float, is_sustained: bool) -> TriggerResult:
        """Return this result with how long it has failed; it acts once that is long enough."""
        failing = self.state == "fail" and is_sustained
        distance = self.distance
        if self.state == "fail":
            distance = "acts now" if failing else f"acts after {needed_s - held_s:.1f} s more of this"
        return replace(self, failing=failing, distance=distance, sustained_s=held_s, sustained_needed_s=needed_s)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`failing` is the first result that demands a rollback; `observing` are those that fail but ask or only observe.

    `accepted` is set at the one tick at which the acceptance criteria are met, and when the baseline is estimated anew.
    """

    state: Literal["pass", "fail", "inconclusive"]
    results: tuple[TriggerResult, ...]
    failing: TriggerResult | None = None
    observing: tuple[TriggerResult, ...] = ()
    accepted: Baseline | None = None

    @property
    def pending(self) -> bool:
        """Some trigger fails, whether or not it acts yet: nothing is accepted and no baseline estimated meanwhile."""
        return any(result.state == "fail" for result in self.results)


def conclude(results: tuple[TriggerResult, ...], accepted: Baseline | None = None) -> Verdict:
    """Return the verdict: fail if a rollback is due, else pass if any trigger could decide, else inconclusive."""
    due = [result for result in results if result.failing]
    failing = next((result for result in due if result.action == "rollback"), None)
    observing = tuple(result for result in due if result.action != "rollback")
    # That nobody complains says nothing of a version that nobody asks.
    decided = any(result.state in ("pass", "fail") and result.detail not in ("alert", "inputs") for result in results)
    state: Literal["pass", "fail", "inconclusive"] = "fail" if failing else "pass" if decided else "inconclusive"
    return Verdict(state, results, failing, observing, accepted)
