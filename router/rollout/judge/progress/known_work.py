"""What is known of each work bucket: how long a useful answer takes, and what usually becomes of an attempt.

The limit T of a wait is 3 × the p99 of the times to useful. They are those of this version from `hang_samples_min` (100) answers
on, and before that those of the baseline or of the version before. 20 to 99 answers have no p99: then their longest stands for
it. A new version that is slower than the one before is not judged by the older limit alone: its own longest answer counts as
well, but at most as hang_after_max_s, because one answer of a cold start would blind the judge for minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from router.rollout.judge.baseline import Baseline
from router.rollout.judge.rules import HardFailureRule
from router.rollout.stats.work_counts import NO_ENDS, WorkBucket, WorkCounts
from router.rollout.work import OTHER, OTHER_INFERENCE, WorkEnd, time_quantile

LIMIT_FACTOR: Final = 3.0
"""T is this many times the p99 of the times to useful."""
SAMPLES_FEW: Final = 20
"""With fewer useful answers nothing is known of a bucket."""
OTHER_NAMES: Final = {OTHER_INFERENCE: "other inference", OTHER: "other"}
ALL_INFERENCE: Final = "all inference"


@dataclass(frozen=True, slots=True)
class KnownWork:
    """`own` are the counts of the active version, `before` those of the version before; both by bucket. `buckets`: names."""

    rule: HardFailureRule
    buckets: Mapping[int, WorkBucket]
    own: Mapping[int, WorkCounts]
    before: Mapping[int, WorkCounts] = field(default_factory=dict)
    baseline: Baseline | None = None

    def name(self, bucket: int) -> str:
        """Return the name of a bucket as users read it."""
        known = self.buckets.get(bucket)
        return known.name if known is not None else OTHER_NAMES.get(bucket, f"bucket {bucket}")

    @property
    def inference(self) -> tuple[int, ...]:
        """The buckets of inference that this version was asked for, the nameless ones included."""
        return tuple(bucket for bucket in sorted(self.own) if self.is_inference(bucket))

    def is_inference(self, bucket: int) -> bool:
        """Return whether a bucket is one of inference."""
        known = self.buckets.get(bucket)
        return bucket == OTHER_INFERENCE or (known is not None and known.inference)

    # -- times
    def limit_s(self, bucket: int) -> float | None:
        """Return T of a bucket, in seconds; None if nothing is known."""
        rule, own = self.rule, self._own_times(bucket)
        if rule.hang_after_s is not None:
            return rule.hang_after_s
        if sum(own) >= rule.hang_samples_min:
            return max(rule.hang_after_min_s, _limit(own, rule.hang_samples_min) or 0.0)
        early, late = _limit(self._earlier_times(bucket), rule.hang_samples_min), _limit(own, rule.hang_samples_min)
        if early is None:
            return None if late is None else max(rule.hang_after_min_s, late)
        return max(rule.hang_after_min_s, early, min(late or 0.0, rule.hang_after_max_s))

    def median_s(self, bucket: int) -> float | None:
        """Return the median time to useful of a bucket, in seconds; None if nothing is known."""
        own = self._own_times(bucket)
        known = own if sum(own) >= SAMPLES_FEW else self._earlier_times(bucket)
        return time_quantile(known, 0.5) if sum(known) >= SAMPLES_FEW else None

    def _own_times(self, bucket: int) -> tuple[int, ...]:
        own = self.own.get(bucket)
        return own.times if own is not None else ()

    def _earlier_times(self, bucket: int) -> tuple[int, ...]:
        normal = self.baseline.work.get(self.name(bucket)) if self.baseline is not None else None
        if normal is not None and sum(normal.times) >= SAMPLES_FEW:
            return normal.times
        before = self.before.get(bucket)
        return before.times if before is not None else ()

    # -- ends
    def earlier_ends(self, bucket: int) -> tuple[int, ...]:
        """Return the attempts of a bucket by WorkEnd in the baseline, or in the version before; zeros if unknown."""
        normal = self.baseline.work.get(self.name(bucket)) if self.baseline is not None else None
        if normal is not None and normal.ends[WorkEnd.USEFUL] >= SAMPLES_FEW:
            return normal.ends
        before = self.before.get(bucket)
        return before.ends if before is not None and before.useful >= SAMPLES_FEW else NO_ENDS

    def was_useful(self, bucket: int) -> bool:
        """Return whether a bucket was useful SAMPLES_FEW times or more, in this version or earlier."""
        own = self.own.get(bucket)
        return (own is not None and own.useful >= SAMPLES_FEW) or self.earlier_ends(bucket) is not NO_ENDS

    @property
    def own_useful(self) -> int:
        """Useful answers of this version in all buckets of inference."""
        return sum(self.own[bucket].useful for bucket in self.inference)


def sum_ends(parts: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the sum of attempts by WorkEnd."""
    return tuple(map(sum, zip(NO_ENDS, *parts, strict=True)))


def _limit(times: tuple[int, ...], samples_min: int) -> float | None:
    """Return 3 × the p99, with few samples 3 × the longest; None with fewer than SAMPLES_FEW."""
    samples = sum(times)
    if samples < SAMPLES_FEW:
        return None
    slow = time_quantile(times, 0.99 if samples >= samples_min else 1.0)
    return None if slow is None else LIMIT_FACTOR * slow
