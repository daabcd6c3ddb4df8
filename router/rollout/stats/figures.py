"""What the figures mean that people read of a version's failures. Each is computed here and nowhere else (README, "Figures").

requests   attempts that came to something: answers that began, or faults before that; at least as many as failed
failed     those of them that the target is to blame for: whole ones, never more than requests
share      failed / requests, of the two numbers that stand beside it
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from router.rollout.outcome import FAULTS, OUTCOMES, Outcome

OUTCOMES_AT: Final = 6
"""Where the outcomes begin in a reading: [at_ns, claimed, begun, faults_unbegun, rescued, abandoned_long, 13 outcomes]."""
CAPTURED_AFTER_NS: Final = 4_000_000_000
"""After the decision: until then requests end that had begun on the failing version. What is captured later is not counted."""
_BEGUN, _UNBEGUN, _RESCUED = 2, 3, 4
_SHARES: Final = frozenset({"error_rate", "latency", "quality"})
Reading = Sequence[int]


def whole(weighed: float, requests: int) -> int:
    """Return faults that were weighed (window.py) as a number of requests."""
    return min(math.floor(weighed + 0.5), requests)


def share(failed: float, requests: float) -> float | None:
    """Return the share of requests that failed, 0 to 1; None without requests."""
    return failed / requests if requests else None


def unit(trigger: Mapping[str, Any]) -> Literal["share", "seconds", "count"]:
    """Return what value, limit and baseline of a trigger are: shares of requests, seconds, or counts of alerts or faults."""
    kind, detail = trigger.get("kind"), trigger.get("detail")
    if detail == "alert":
        return "count"
    if detail == "errors":
        # Of faults in a row value and limit are counts, of a burst they are shares.
        return "count" if max(trigger.get("value") or 0, trigger.get("limit") or 0) > 1 else "share"
    if kind == "hard_failure":
        return "seconds"
    return "share" if kind in _SHARES else "count"


def told(trigger: Mapping[str, Any], member: str) -> str:
    """Return value, limit or baseline of a trigger in its unit: `93.3 %`, `10.4 s`, `5`; `none` without it."""
    value = trigger.get(member)
    if value is None:
        return "none"
    shown = {"share": f"{value * 100:.3g} %", "seconds": f"{value:.3g} s", "count": f"{value:g}"}
    return shown[unit(trigger)]


def among(failed: int, requests: int) -> str:
    """Return `14 faults in 15 requests (93.3%)`."""
    return f"{failed} faults in {requests} requests ({share(failed, requests) or 0.0:.1%})"


@dataclass(frozen=True, slots=True)
class Spell:
    """What one version did between two readings of its counters. `outcomes` are ends of attempts, 13 counts."""

    requests: int
    rescued: int
    outcomes: tuple[int, ...]

    @property
    def errors(self) -> dict[str, int]:
        """Ends that the target caused, by class."""
        return {outcome.label: self.outcomes[outcome] for outcome in FAULTS if self.outcomes[outcome]}

    @property
    def failed(self) -> int:
        """All of them."""
        return sum(self.outcomes[outcome] for outcome in FAULTS)

    def __add__(self, later: Spell) -> Spell:
        """Return this spell and the one that follows it as one."""
        outcomes = tuple(map(sum, zip(self.outcomes, later.outcomes, strict=True)))
        return Spell(self.requests + later.requests, self.rescued + later.rescued, outcomes)


def spell(earlier: Reading, later: Reading) -> Spell:
    """Return what was counted between two readings of one version. A stream that began before and failed is a request here."""
    grown = [max(0, after - before) for before, after in zip(earlier, later, strict=True)]
    outcomes, rescued = tuple(grown[OUTCOMES_AT:]), grown[_RESCUED]
    failed = sum(outcomes[outcome] for outcome in FAULTS)
    return Spell(max(grown[_BEGUN] + grown[_UNBEGUN], failed, rescued), rescued, outcomes)


def rescue(rescued: int, ended: Spell) -> dict[str, int]:
    """Return what became of the `rescued` requests until the decision, from what had `ended` on the other version by then.

    The parts add up to `rescued`. More ends than rescues are ends of what the other version had before: these count as
    answered, so that no failure is hidden.
    """
    failed = min(ended.failed, rescued)
    other = min(sum(ended.outcomes) - ended.failed - ended.outcomes[Outcome.OK], rescued - failed)
    answered = min(ended.outcomes[Outcome.OK], rescued - failed - other)
    under_way = rescued - failed - other - answered
    return {"rescued": rescued, "answered": answered, "failed": failed, "other": other, "under_way": under_way}


def toll(left: dict[str, Any], back: dict[str, Any] | None) -> dict[str, Any]:
    """Return what a rollback cost, from the readings {start, decision, last} of the version left and of the one gone back to.

    `requests`, `failed` (by class: `errors`), `rescued`, `clients_gone`: of the version left, from the beginning of the
    trouble to the last look. `rescue`: what became of those that were rescued until the decision. `failed_max`: how many
    requests can have failed for their client: failed, less rescued, and those that failed again on the other version.
    """
    until, after = spell(left["start"], left["decision"]), spell(left["decision"], left["last"])
    total = until + after
    again = (
        rescue(until.rescued, spell(back["start"], back["decision"])) if back is not None and total.rescued else None
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
