"""What has happened, in the past tense: everything that the rollout machine is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal


@dataclass(frozen=True, slots=True)
class ProbeCompleted:
    """One probe of one endpoint. `ms` is how long it took, `at_ns` when it ended (monotonic).

    `connect_failed`: no connection came about. `inference`: the probe made the model work. `detail` says why it failed.
    """

    service: str
    slot: int
    version: str
    endpoint_url: str
    ok: bool
    connect_failed: bool
    detail: str
    ms: float
    at_ns: int
    inference: bool


@dataclass(frozen=True, slots=True)
class Override:
    """The audited human decision to go against a quarantine or a missing check. `expires_after_s`: then a mark that it has
    lifted is back; None: it is lifted for good.
    """

    actor: str
    reason: str
    expires_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from: the URI of the model's files, and a registry's name for it (`models:/fraud/3`)."""

    artifact: str | None = None
    source: str | None = None

    def told(self) -> dict[str, str]:
        """Return what is known of it, as members of a journal entry."""
        return {name: uri for name, uri in (("artifact", self.artifact), ("source", self.source)) if uri is not None}


UNKNOWN: Final = Origin()


@dataclass(frozen=True, slots=True)
class RegisterAsked:
    """Make `version` known without deploying it. No `endpoints`: those that are known."""

    version: str
    endpoints: tuple[str, ...]
    actor: str
    origin: Origin = UNKNOWN


@dataclass(frozen=True, slots=True)
class DeployAsked:
    """Bring `version` in as candidate. `endpoints` are canonical URLs, none: those that are known; `replace`: instead of a
    candidate under way.
    """

    version: str
    endpoints: tuple[str, ...]
    actor: str
    replace: bool = False
    override: Override | None = None
    origin: Origin = UNKNOWN


@dataclass(frozen=True, slots=True)
class SwitchAsked:
    """Make `to` the active version; `verb` is `promoted` or `switched`, the type of the journal entry.

    `checked`: a fresh probe of `to` has just succeeded (an unreachable version needs one). `approved` is the proposal whose
    approval this is.
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
    """Go back to the standby and quarantine the active version."""

    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class VerdictReached:
    """The active version fails: a trigger with the action `rollback` is sustained.

    `trigger` is its plain form (TriggerResult.as_dict()), `unreachable` whether its detail is that.
    `shares` are (standby's, active's) share of faults among the attempts of the last 20 s and the standby's number of them.
    `evidence`: what the incident tells of its cost: requests, errors by outcome, rescued. `proposal`: nobody has decided on
    it in time, and a rollback is its default.
    """

    trigger: dict[str, Any]
    unreachable: bool
    shares: tuple[float, float, int] | None = None
    evidence: dict[str, Any] | None = None
    proposal: str | None = None


@dataclass(frozen=True, slots=True)
class ProposalDue:
    """Something says that the active `version` should go back, and a person is to decide.

    `cause` names what says so, the same each time it says it: a rule's name (`latency`), or `business:` and the alert's own
    name. `trigger` is its plain form (TriggerResult.as_dict()), `alert` a short summary of the alert, `impact` what it has
    cost so far (requests, errors, rescued). Nothing comes of it if `version` is not active, if the same cause is part of a
    proposal that waits, or was denied not long ago.
    """

    version: str
    cause: str
    trigger: dict[str, Any]
    alert: dict[str, Any] | None = None
    impact: dict[str, Any] | None = None
    actor: str = "verdict"


@dataclass(frozen=True, slots=True)
class ProposalDecided:
    """A person has decided. `four_eyes`: who decides on a promotion is known to be somebody, and not who asked for it.

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
    """The fresh inference probe that the gate had asked for has ended."""

    ok: bool
    detail: str
    generation: int


@dataclass(frozen=True, slots=True)
class DrillMoveAsked:
    """The next swap of drill `drill` is due: to the standby, or `home`. `why` says what went wrong, if anything did."""

    drill: str
    home: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class RetireAsked:
    """Take `version` out; `cut`: end at once what it still serves."""

    version: str
    actor: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class EndpointsAsked:
    """The same version's replicas have moved."""

    version: str
    endpoints: tuple[str, ...]
    actor: str


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
    """Lift the mark of a version, for good or until it comes back `expires_after_s` from now."""

    version: str
    actor: str
    reason: str
    expires_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed. `drained` are the slots without a role on which nothing is, nor can begin, any more."""

    drained: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The active version has met the acceptance criteria, or its normal was estimated anew; `baseline` in plain form."""

    baseline: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CriterionSet:
    """Versions are accepted only if `metric` (acceptance.py) is at most `limit`."""

    metric: str
    limit: float
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class CriterionRemoved:
    """The criterion of `metric` that a rollback or a person had added is no more."""

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
