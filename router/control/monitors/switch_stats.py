"""Counts the switches of each service since this control process began: reasons and durations, for the metrics."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

REASONS: Final = (
    "promote",
    "switch",
    "rollback",
    "drill",
    "hard_failure",
    "error_rate",
    "latency",
    "quality",
    "business",
    "other",
)
"""The verb of an operator or the trigger of a verdict. The set is fixed, so that the label has few values."""

BUCKETS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(slots=True)
class DurationHistogram:
    """Counts of durations by `BUCKETS_S`, the last one for everything above, and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


@dataclass(slots=True)
class ServiceSwitches:
    """`swap`: decision → store. `confirm`: store → last worker, only of switches that every worker confirmed."""

    by_reason: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    swap: DurationHistogram = field(default_factory=DurationHistogram)
    confirm: DurationHistogram = field(default_factory=DurationHistogram)


class SwitchStats:
    """The switches of all services. The control loop records them, the metrics read them."""

    def __init__(self, services: list[str]) -> None:
        self.services = {name: ServiceSwitches() for name in sorted(services)}

    def add(self, service: str) -> None:
        """Begin to count for one more service."""
        self.services = dict(sorted({**self.services, service: ServiceSwitches()}.items()))

    def forget(self, service: str) -> None:
        """Drop the counts of a service that was removed."""
        self.services.pop(service, None)

    def record(self, service: str, reason: str, swap_us: float, confirmed_ms: float | None) -> None:
        """Count one switch; a `reason` outside REASONS is `other`; `confirmed_ms` None: some worker did not confirm."""
        switches = self.services.get(service)
        if switches is None:  # it was removed while workers confirmed
            return
        switches.by_reason[reason if reason in REASONS else "other"] += 1
        switches.swap.add(swap_us / 1e6)
        if confirmed_ms is not None:
            switches.confirm.add(confirmed_ms / 1e3)
