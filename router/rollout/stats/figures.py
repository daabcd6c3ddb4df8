"""The figures of a version's failures that users read. Each is computed here and nowhere else (docs/features/incidents.md).

requests   attempts whose response began, or that failed before; at least as many as failed
failed     requests that failed by a fault of the target: a whole number, never more than requests
share      failed / requests, of the two numbers that are shown with it
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from router.rollout.outcome import FAULTS, OUTCOMES, Outcome
from router.runtime.text.plurals import counted

OUTCOMES_AT: Final = 6
"""Index of the first outcome in a reading: [at_ns, claimed, begun, faults_unbegun, rescued, abandoned_long, 13 outcomes]."""
CAPTURED_AFTER_NS: Final = 4_000_000_000
"""After the decision requests that had begun on the failing version still end. Requests captured later are not counted."""
_BEGUN, _UNBEGUN, _RESCUED = 2, 3, 4
_SHARES: Final = frozenset({"error_rate", "latency", "quality"})
Reading = Sequence[int]


def whole_faults(weighted: float, requests: int) -> int:
    """Return weighted faults (window.py) as a number of requests."""
    return min(math.floor(weighted + 0.5), requests)


def share(failed: float, requests: float) -> float | None:
    """Return the share of requests that failed, 0 to 1; None without requests."""
    return failed / requests if requests else None


def unit(trigger: Mapping[str, Any]) -> Literal["share", "seconds", "count"]:
    """Return the unit of value, limit and baseline of a trigger: shares of requests, seconds, or counts of alerts or faults."""
    kind, detail = trigger.get("kind"), trigger.get("detail")
    if detail == "alert":
        return "count"
    if detail == "errors":
        # For faults in a row value and limit are counts, for a burst they are shares.
        return "count" if max(trigger.get("value") or 0, trigger.get("limit") or 0) > 1 else "share"
    if detail == "useful_share":
        return "share"
    if kind == "hard_failure":
        return "seconds"
    return "share" if kind in _SHARES else "count"


def format_value(trigger: Mapping[str, Any], member: str) -> str:
    """Return value, limit or baseline of a trigger with its unit: `93.3 %`, `10.4 s`, `5`; `none` if it is missing."""
    value = trigger.get(member)
    if value is None:
        return "none"
    formatted = {"share": f"{value * 100:.3g} %", "seconds": f"{value:.3g} s", "count": f"{value:g}"}
    return formatted[unit(trigger)]


def fault_count_text(failed: int, requests: int) -> str:
    """Return `14 faults in 15 requests (93.3%)`."""
    return f"{counted(failed, 'fault')} in {counted(requests, 'request')} ({share(failed, requests) or 0.0:.1%})"


@dataclass(frozen=True, slots=True)
class CounterDelta:
    """The counts of one version between two readings. `outcomes` are ends of attempts, 13 counts."""

    requests: int
    rescued: int
    outcomes: tuple[int, ...]

    @property
    def errors(self) -> dict[str, int]:
        """Number of faults by outcome, without zeros."""
        return {outcome.label: self.outcomes[outcome] for outcome in FAULTS if self.outcomes[outcome]}

    @property
    def failed(self) -> int:
        """Number of faults."""
        return sum(self.outcomes[outcome] for outcome in FAULTS)

    def __add__(self, later: CounterDelta) -> CounterDelta:
        """Return the sum of this delta and the one that follows it."""
        outcomes = tuple(map(sum, zip(self.outcomes, later.outcomes, strict=True)))
        return CounterDelta(self.requests + later.requests, self.rescued + later.rescued, outcomes)


def delta_between(earlier: Reading, later: Reading) -> CounterDelta:
    """Return the counts between two readings of one version. A stream that began before and failed counts as a request."""
    grown = [max(0, after - before) for before, after in zip(earlier, later, strict=True)]
    outcomes, rescued = tuple(grown[OUTCOMES_AT:]), grown[_RESCUED]
    failed = sum(outcomes[outcome] for outcome in FAULTS)
    return CounterDelta(max(grown[_BEGUN] + grown[_UNBEGUN], failed, rescued), rescued, outcomes)


def rescue_outcomes(rescued: int, ended: CounterDelta) -> dict[str, int]:
    """Return how the `rescued` requests ended by the time of the decision; `ended` has the counts of the other version
    until then.

    The parts add up to `rescued`. If more requests ended than were rescued, the others were there before: they are taken from
    the answered ones, so that no failure is hidden.
    """
    failed = min(ended.failed, rescued)
    other = min(sum(ended.outcomes) - ended.failed - ended.outcomes[Outcome.OK], rescued - failed)
    answered = min(ended.outcomes[Outcome.OK], rescued - failed - other)
    under_way = rescued - failed - other - answered
    return {"rescued": rescued, "answered": answered, "failed": failed, "other": other, "under_way": under_way}


def rollback_cost(left: dict[str, Any], back: dict[str, Any] | None) -> dict[str, Any]:
    """Return the cost of a rollback, from the readings {start, decision, last} of the failed version (`left`) and of
    the standby (`back`).

    `requests`, `failed` (by outcome: `errors`), `rescued`, `clients_gone` are of the failed version, from the first fault to the
    last reading. `rescue`: how the requests ended that were rescued before the decision. `failed_max`: upper bound of the
    requests that failed for their client: failed, less rescued, plus those that failed again on the other version.
    """
    until, after = delta_between(left["start"], left["decision"]), delta_between(left["decision"], left["last"])
    total = until + after
    again = (
        rescue_outcomes(until.rescued, delta_between(back["start"], back["decision"]))
        if back is not None and total.rescued
        else None
    )
    return {
        "requests": total.requests,
        "errors": total.errors,
        "failed": total.failed,
        "failed_until_decision": until.failed,
        "rescued": total.rescued,
        "clients_gone": total.outcomes[Outcome.CLIENT_GONE],
        "failed_max": max(0, total.failed - total.rescued) + (again["failed"] if again else 0),
        "rescue": again,
    }


assert len(OUTCOMES) == 13
