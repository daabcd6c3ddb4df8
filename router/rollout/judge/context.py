"""The input of every trigger at one tick. A trigger is a function of a `TriggerContext`; it keeps no state and reads no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.rollout.judge.baseline import Baseline
from router.rollout.judge.evidence import Evidence
from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.judge.progress.work_state import WorkState
from router.rollout.judge.rules import Rules
from router.rollout.stats.epoch_history import EpochHistory
from router.rollout.stats.window import SlotHistory, Window
from router.rollout.units import SECOND_NS


@dataclass(frozen=True, slots=True)
class TriggerContext:
    """The active version at `now_ns` (monotonic) since its promotion. Requests that it served before, as candidate or as standby,
    are not in its windows.

    `baseline` is None unless it rests on enough requests. `paused`: why error_rate and latency may not decide now (the
    router's own numbers are unreliable, or its loop stalled); None if they may. `probes_unreachable_since_ns`: since when
    control's probes reach no endpoint; None while they reach one.
    """

    now_ns: int
    promoted_at_ns: int
    history: SlotHistory
    evidence: Evidence
    rules: Rules
    first_byte_timeout_s: float
    baseline: Baseline | None = None
    hang_p99_s: float | None = None
    """p99 of the first-byte times of this version so far; None with fewer than hang_samples_min."""
    probes_unreachable_since_ns: int | None = None
    paused: str | None = None
    work: WorkState | None = None
    """The work of the version; None if its samples have none."""
    epochs: EpochHistory = field(default_factory=EpochHistory)
    inference_probe: ProbeEvidence | None = None

    def window(self, seconds: float) -> Window | None:
        """Return the last `seconds` since the promotion."""
        return self.history.window(seconds, self.now_ns, self.promoted_at_ns)

    def warm_window(self, seconds: float) -> Window | None:
        """Return the last `seconds` since the end of the warm-up, with histograms."""
        since_ns = self.promoted_at_ns + int(self.rules.warmup_s * SECOND_NS)
        return self.history.window(seconds, self.now_ns, since_ns, histograms=True)

    @property
    def in_warmup(self) -> bool:
        """Whether the version was promoted less than warmup_s ago."""
        return self.now_ns - self.promoted_at_ns < self.rules.warmup_s * SECOND_NS

    @property
    def probes_unreachable_s(self) -> float | None:
        """Seconds for which control's own probes have reached no endpoint; None while they reach one."""
        since_ns = self.probes_unreachable_since_ns
        return None if since_ns is None else (self.now_ns - since_ns) / SECOND_NS
