"""Checks the acceptance criteria of a service: each one must be possible to meet and to measure."""

from __future__ import annotations

from typing import Final

from router.rollout.judge.criteria import SHARES, Acceptance
from router.rollout.judge.rules import LatencyRule

_SECONDS_MAX: Final = 86_400.0 * 31


def refuse_impossible(criteria: Acceptance, latency: LatencyRule) -> None:
    """Raise ValueError naming the first member that cannot be met or measured, its value and the remedy."""
    if not 0 < criteria.after_s <= _SECONDS_MAX:
        raise ValueError(f"acceptance.after_s = {criteria.after_s:g}: more than 0, at most {_SECONDS_MAX:g} (31 days)")
    if criteria.requests_min < 1:
        raise ValueError(f"acceptance.requests_min = {criteria.requests_min}: at least 1")
    for metric, limit in criteria.limits().items():
        if limit < 0 or (metric in SHARES and limit > 1):
            top = "within 0 and 1: 0.01 is one per cent" if metric in SHARES else "0 or more"
            raise ValueError(f"acceptance.{metric}_max = {limit:g}: {top}")
    if criteria.fault_factor_max is not None and criteria.fault_factor_max <= 0:
        raise ValueError(
            f"acceptance.fault_factor_max = {criteria.fault_factor_max:g}: more than 0, 2 is twice the baseline"
        )
    if criteria.late_share_max is not None and latency.slo_ms is None:
        raise ValueError("acceptance.late_share_max needs rules.latency.slo_ms, which defines late answers")
