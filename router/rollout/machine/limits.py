"""The settings of the state machine of one service, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.rollout.proposals.proposal import ProposalRules


@dataclass(frozen=True, slots=True)
class RolloutLimits:
    """`inference`: the probe is an inference request, so the gate may use it."""

    inference: bool = False
    warmup_probes: int = 5
    recover_probes: int = 30
    gate_probes: int = 3
    gate_timeout_s: float = 1.0
    verify_timeout_s: float = 900.0
    rollback_drain_timeout_s: float | None = 300.0
    recheck_s: float = 1.0
    unblock_after_s: float = 30.0
    """A blocked rollback is dropped after this time without a failing verdict."""
    proposals: ProposalRules = field(default_factory=ProposalRules)
