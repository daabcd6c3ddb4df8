"""The inputs of the judge that are not in the samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.judge.verdict import TriggerResult
from router.rollout.stats.work_counts import WorkBucket


@dataclass(frozen=True, slots=True)
class JudgeInputs:
    """Inputs of the judge that are not in the samples. Times are monotonic nanoseconds.

    `promoted_at_ns`: start of serving of the active version; `probation_since_ns`: its promotion, if that was earlier (a drill
    lay between). `in_drill`: the version serves for a drill, so no version is on probation. `criteria`: criteria that rollbacks
    and operators have added to the settings. `cases`: (passed, detail) of the last check of the captured cases.
    `unwell`: why this router's own numbers are unreliable now; None if they are reliable.
    `probes_unreachable_since_ns`: since when no endpoint of the active version accepts control's probes.
    `external_results`: results about the active version from other sources than the samples (alerts, input drift).
    `buckets`: names of the work buckets, by number. `inference_probe`: the inference probes of the active version and of its
    standby; None if the service has no inference probe.
    """

    active_slot: int | None
    standby_slot: int | None
    promoted_at_ns: int
    accepted: bool
    probes_unreachable_since_ns: int | None = None
    unwell: str | None = None
    external_results: tuple[TriggerResult, ...] = ()
    probation_since_ns: int | None = None
    in_drill: bool = False
    criteria: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cases: tuple[bool, str] | None = None
    buckets: Mapping[int, WorkBucket] = field(default_factory=dict)
    inference_probe: ProbeEvidence | None = None
