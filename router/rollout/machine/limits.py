"""What the rollout of one service is told by the settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.rollout.proposals.proposal import ProposalRules


@dataclass(frozen=True, slots=True)
class RolloutLimits:
    """What the machine is told. `inference`: the probe makes the model work."""

    inference: bool = False
    warmup_probes: int = 5
    recover_probes: int = 30
    gate_probes: int = 3
    gate_timeout_s: float = 1.0
    gate_shares_min: int = 5
    verify_timeout_s: float = 900.0
    rollback_drain_timeout_s: float | None = 300.0
    look_again_s: float = 1.0
    calm_s: float = 30.0
    """A held rollback is over once the verdict has not failed for so long."""
    proposals: ProposalRules = field(default_factory=ProposalRules)
