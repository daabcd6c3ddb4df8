"""Events: every input of the rollout machine. A name is in the past tense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from router.rollout.model.identity import Identity
from router.rollout.model.rewrite import Rewrite


@dataclass(frozen=True, slots=True)
class ProbeCompleted:
    """One probe of one endpoint. `ms` is its duration, `at_ns` its end (monotonic).

    `connect_failed`: no connection was made. `inference`: the probe was an inference request. `detail`: why the probe failed.
    `unknown`: the server wants credentials (401, 403), so the answer says nothing about the model. `late`: connected, but
    without a whole answer in time. `identity`: what the answer says about the server.
    """

    service: str
    version: str
    endpoint_url: str
    ok: bool
    connect_failed: bool
    detail: str
    ms: float
    at_ns: int
    inference: bool
    unknown: bool = False
    late: bool = False
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's decision to override a quarantine or a missing check; it is journalled. `expires_after_s`: the quarantine
    returns after this time; None: it is lifted for good.
    """

    actor: str
    reason: str
    expires_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a version: the URI of the model's files, and a registry's name for it (`models:/fraud/3`)."""

    artifact: str | None = None
    source: str | None = None

    def members(self) -> dict[str, str]:
        """Return the known URIs as members of a journal entry."""
        return {name: uri for name, uri in (("artifact", self.artifact), ("source", self.source)) if uri is not None}


UNKNOWN: Final = Origin()


@dataclass(frozen=True, slots=True)
class RegisterAsked:
    """Register `version` without deploying it. Without `endpoints` and `rewrite` the registered ones are used."""

    version: str
    endpoints: tuple[str, ...]
    actor: str
    origin: Origin = UNKNOWN
    rewrite: Rewrite | None = None


@dataclass(frozen=True, slots=True)
class DeployAsked:
    """Deploy `version` as candidate. `endpoints` are canonical URLs; without them, and without `rewrite`, the registered ones are
    used. `replace`: replace a candidate that is being verified.
    """

    version: str
    endpoints: tuple[str, ...]
    actor: str
    replace: bool = False
    override: Override | None = None
    origin: Origin = UNKNOWN
    rewrite: Rewrite | None = None


@dataclass(frozen=True, slots=True)
class SwitchAsked:
    """Make `to` the active version; `verb` is `promoted` or `switched`, the type of the journal entry.

    `checked`: a fresh probe of `to` has just succeeded (required for an unreachable version). `approved`: id of the proposal that
    was approved.
    """

    to: str
    actor: str
    reason: str
    verb: str = "switched"
    override: Override | None = None
    checked: bool = False
    approved: str | None = None


@dataclass(frozen=True, slots=True)
class RollbackAsked:
    """Roll back to the standby and quarantine the active version."""

    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class VerdictReached:
    """The active version fails: a trigger with the action `rollback` is sustained.

    `trigger` is the result as plain data (TriggerResult.as_dict()); `unreachable`: its detail is `unreachable`.
    `shares` is (share of the rescued requests that failed on the standby, too; share of faults of the active version; rescued
    requests), of the last 60 s.
    `evidence` goes into the incident: requests, errors by outcome, rescued. `proposal`: id of a proposal that expired with the
    default `rollback`.
    """

    trigger: dict[str, Any]
    unreachable: bool
    shares: tuple[float, float, int] | None = None
    evidence: dict[str, Any] | None = None
    proposal: str | None = None


@dataclass(frozen=True, slots=True)
class ProposalDue:
    """A rollback of the active `version` is to be proposed to an operator.

    `cause` identifies the source and is the same each time: a rule's name (`latency`), or `business:` and the name of the alert.
    `trigger` is the result as plain data (TriggerResult.as_dict()), `alert` a short summary of the alert, `impact` the cost so
    far (requests, errors, rescued). The event has no effect if `version` is not active, if a pending proposal has the same
    cause, or if the cause is muted.
    """

    version: str
    cause: str
    trigger: dict[str, Any]
    alert: dict[str, Any] | None = None
    impact: dict[str, Any] | None = None
    actor: str = "verdict"


@dataclass(frozen=True, slots=True)
class ProposalDecided:
    """An operator decided on a proposal. `four_eyes`: the actor is authenticated, and a promotion must be approved by another
    actor.

    `shares` as in VerdictReached, `impact` as in ProposalDue; `checked` as in SwitchAsked.
    """

    proposal: str
    verb: Literal["approve", "deny"]
    actor: str
    reason: str = ""
    override: Override | None = None
    four_eyes: bool = False
    shares: tuple[float, float, int] | None = None
    impact: dict[str, Any] | None = None
    checked: bool = False


@dataclass(frozen=True, slots=True)
class StandbyChecked:
    """The inference probe of the command CheckStandby has ended."""

    ok: bool
    detail: str
    generation: int


@dataclass(frozen=True, slots=True)
class DrillMoveAsked:
    """The next swap of drill `drill` is due: to the standby, or back (`home`). `reason`: the failure that caused it; else
    empty.
    """

    drill: str
    home: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RetireAsked:
    """Retire `version`; `cut`: abort the requests that it still serves."""

    version: str
    actor: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class EndpointsAsked:
    """The replicas of `version` listen at other endpoints now. `rewrite`: None if its requests stay as they were."""

    version: str
    endpoints: tuple[str, ...]
    actor: str
    rewrite: Rewrite | None = None


@dataclass(frozen=True, slots=True)
class FreezeAsked:
    """Disable automation."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class UnfreezeAsked:
    """Enable automation again."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class QuarantineAsked:
    """Block a version."""

    version: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseAsked:
    """Release a version from quarantine, for good or for `expires_after_s`."""

    version: str
    actor: str
    reason: str
    expires_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed. `drained`: versions without a role that have no request in flight and get no new one."""

    drained: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The active version met the acceptance criteria, or its baseline was estimated again; `baseline` is plain data."""

    baseline: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CriterionSet:
    """Versions are accepted only if `metric` (judge/criteria.py) is at most `limit`."""

    metric: str
    limit: float
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class CriterionRemoved:
    """Remove the criterion of `metric` that a rollback or an operator added."""

    metric: str
    actor: str
    reason: str


Event = (
    ProbeCompleted
    | RegisterAsked
    | DeployAsked
    | SwitchAsked
    | RollbackAsked
    | VerdictReached
    | ProposalDue
    | ProposalDecided
    | StandbyChecked
    | DrillMoveAsked
    | CriterionSet
    | CriterionRemoved
    | RetireAsked
    | EndpointsAsked
    | FreezeAsked
    | UnfreezeAsked
    | QuarantineAsked
    | ReleaseAsked
    | Ticked
    | Accepted
)
