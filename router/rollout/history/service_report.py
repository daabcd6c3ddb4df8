"""The report of one service over a period: each figure with the amount of data behind it.

Uptime is as seen by clients. By requests: the share that did not fail, without client errors and throttled requests. By time: the
share of the seconds with traffic in which at most `fault_share_max` of the requests failed; seconds without traffic do not count.
Seconds without data (control was not running) only reduce the coverage.

Deployment frequency, change failure rate, and time to restore are those of DORA (dora.dev/guides/dora-metrics-four-keys):
how often a change goes to production, how many of the changes led to a failure that needed a remedy (here: a rollback), and
how long it takes to restore service. The time to restore is counted from the first fault of the evidence to the moment at
which the last worker has confirmed the rollback, so it includes the time to detect. The report shows both times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.rollout.history.deployment_log import DeploymentSummary, Timestamp
from router.rollout.history.period import Period
from router.rollout.outcome import OUTCOMES, Outcome
from router.rollout.stats import bounds

FAILED: Final = (
    Outcome.SERVER_ERROR,
    Outcome.CONNECT_FAILED,
    Outcome.TIMED_OUT,
    Outcome.TRUNCATED,
    Outcome.INVALID,
    Outcome.SATURATED,
    Outcome.CUT,
    Outcome.ROUTER_FAULT,
)
"""Outcomes of exchanges that failed for the client: faults of the target and of this router."""
WEEK_S: Final = 604_800.0
DAY_S: Final = 86_400.0
"""Shorter periods are not extrapolated to a week."""
_CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Totals:
    """The sums of a service's rows in a period. Seconds are of monotonic time; `outcomes` are ends of exchanges.

    `good_s`, `bad_s`: with traffic, and at most or more than the allowed share failed; `idle_s`: without traffic. `within_s`: a
    trigger could decide and none failed; `outside_s`: one failed; `undecided_s`: none could decide.
    """

    rows: int = 0
    seconds: float = 0.0
    accepted: int = 0
    rescued: int = 0
    outcomes: tuple[int, ...] = (0,) * len(OUTCOMES)
    good_s: float = 0.0
    bad_s: float = 0.0
    idle_s: float = 0.0
    within_s: float = 0.0
    outside_s: float = 0.0
    undecided_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a standby; `per_hour` is None if it is not set."""

    per_hour: float | None = None
    currency: str = ""


def report(
    service: str,
    period: Period,
    totals: Totals,
    summary: DeploymentSummary,
    fault_share_max: float,
    price: Price,
    now: Timestamp,
) -> dict[str, Any]:
    """Return the figures as plain data; times in seconds, shares from 0 to 1, None without data."""
    known = Period(max(period.since_s, min(summary.begun_at or period.since_s, period.until_s)), period.until_s)
    return {
        "service": service,
        "since_s": period.since_s,
        "until_s": period.until_s,
        "seconds": period.seconds,
        "known_since_s": known.since_s,
        "journal_complete": summary.complete,
        "coverage": {
            "rows": totals.rows,
            "seconds": totals.seconds,
            "share": min(1.0, totals.seconds / period.seconds),
        },
        "uptime": _uptime(totals),
        "uptime_by_time": {
            "share": _share(totals.good_s, totals.good_s + totals.bad_s),
            "seconds": totals.good_s + totals.bad_s,
            "bad_s": totals.bad_s,
            "idle_s": totals.idle_s,
            "fault_share_max": fault_share_max,
        },
        "stability": {
            "share": _share(totals.within_s, totals.within_s + totals.outside_s),
            "within_s": totals.within_s,
            "outside_s": totals.outside_s,
            "undecided_s": totals.undecided_s,
        },
        **_changes(period, known, summary),
        "standby": _standby(period, summary, price, now),
    }


def _uptime(totals: Totals) -> dict[str, Any]:
    failed = sum(totals.outcomes[outcome] for outcome in FAILED)
    counted = failed + totals.outcomes[Outcome.OK]
    return {
        "share": 1 - failed / counted if counted else None,
        "at_least": 1 - bounds.upper_bound(failed, counted, _CONFIDENCE) if counted else None,
        "requests": counted,
        "failed": failed,
        "rescued": totals.rescued,
        "accepted": totals.accepted,
        "ended": {outcome.label: totals.outcomes[outcome] for outcome in OUTCOMES},
    }


def _changes(period: Period, known: Period, summary: DeploymentSummary) -> dict[str, Any]:
    deployments = [made for made in summary.deployments if _within(made.at, period)]
    failed = [made.ended_by for made in deployments if made.ended_by is not None]
    rollbacks = [made for made in summary.rollbacks if _within(made.at, period)]
    number = len(deployments)
    return {
        "deployments": {
            "count": number,
            "per_week": number / known.seconds * WEEK_S if known.seconds >= DAY_S else None,
            "days": known.seconds / DAY_S,
            "back_and_forth": sum(_within(at, period) for at in summary.back_and_forth),
        },
        "change_failures": {
            "share": _share(len(failed), number),
            "failed": len(failed),
            "deployments": number,
            "unreachable": sum(made.unreachable for made in failed),
            "between": [
                bounds.lower_bound(len(failed), number, (1 + _CONFIDENCE) / 2),
                bounds.upper_bound(len(failed), number, (1 + _CONFIDENCE) / 2),
            ]
            if number
            else None,
        },
        "rollbacks": {
            "automatic": sum(made.automatic for made in rollbacks),
            "manual": sum(not made.automatic for made in rollbacks),
            "incidents": [made.incident for made in rollbacks if made.incident],
        },
        "time_to_detect": _spread([made.detect_s for made in rollbacks if made.detect_s is not None], len(rollbacks)),
        "time_to_restore": _spread(
            [made.restore_s for made in rollbacks if made.restore_s is not None], len(rollbacks)
        ),
    }


def _standby(period: Period, summary: DeploymentSummary, price: Price, now: Timestamp) -> dict[str, Any]:
    hours = sum(standby.seconds_in(period, now) for standby in summary.standby_periods) / 3600
    return {
        "hours": hours,
        "price_per_hour": price.per_hour,
        "cost": None if price.per_hour is None else hours * price.per_hour,
        "currency": price.currency or None,
    }


def _spread(values: Sequence[float], of: int) -> dict[str, Any]:
    """Return median and p95 (the smallest value that 95 % do not exceed) of `values`, the number of values, and `of`."""
    ordered = sorted(values)
    return {"median_s": _rank(ordered, 0.5), "p95_s": _rank(ordered, 0.95), "n": len(ordered), "rollbacks": of}


def _rank(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    if share == 0.5 and len(ordered) % 2 == 0:
        return (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _within(at: float, period: Period) -> bool:
    return period.since_s <= at < period.until_s
