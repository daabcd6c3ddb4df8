"""A proposal to an operator: the proposed change, its evidence, its deadline and its state. The fold of its entries.

    state       meaning
    open        may be approved or denied
    due         its time is over and its default is a rollback, which waits for the gate of automatic rollbacks; it may
                still be approved or denied
    approved    an operator approved it, and the switch was made
    denied      an operator denied it
    expired     not decided in time; the default applied: hold, or a rollback
    withdrawn   void: the versions have changed

Time. A proposal expires on the monotonic clock of this boot, so a jump of the wall clock does not change it. Only a cold start
reads the wall clock, once: the rest is limited to 0 … `expire_after_s`, however wrong the wall clock is.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from router.rollout.facts.entry import Entry
from router.rollout.facts.evidence_time import in_memory
from router.rollout.facts.fact import Fact
from router.rollout.facts.proposals import (
    Approved,
    Denied,
    EvidenceAdded,
    ProposalExpired,
    ProposalKind,
    Proposed,
    Withdrawn,
)
from router.rollout.facts.router_itself import Booted
from router.rollout.facts.switches import RolledBack
from router.rollout.units import SECOND_NS

Default = Literal["hold", "rollback"]
State = Literal["open", "due", "approved", "denied", "expired", "withdrawn"]

PENDING: Final = frozenset({"open", "due"})
EVIDENCE_MAX: Final = 10
"""Items of one proposal, one for each cause; later causes are not kept."""
CLOSED_MAX: Final = 200
MUTED_MAX: Final = 200
_End = Approved | Denied | ProposalExpired | Withdrawn
_ENDS: Final[dict[type[Fact], State]] = {
    Approved: "approved",
    Denied: "denied",
    ProposalExpired: "expired",
    Withdrawn: "withdrawn",
}


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """The settings. `promote_needs_approval`: a promotion needs a second operator."""

    expire_after_s: float = 1800.0
    at_expiry: Default = "hold"
    repeat_after_s: float = 3600.0
    """After a denial, or an expiry without a rollback, the cause is muted for this time."""
    promote_needs_approval: bool = False
    promotion_expire_after_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """`version`: the active version to roll back, or the candidate to promote.

    `left` is the active version when the proposal was opened, `to` the proposed one. `opened_at`, `expires_at` and `decided_at`
    are wall seconds, for display; `deadline_ns` decides, on the monotonic clock of this boot. `evidence` has one `{cause, at,
    trigger, alert, impact}` for each cause. `verb` is the type of the entry that a promotion becomes.
    """

    id: str
    kind: ProposalKind
    version: str
    left: str | None
    to: str | None
    reason: str
    opened_by: str
    opened_at: float
    expires_at: float
    expire_after_s: float
    deadline_ns: int
    at_expiry: Default
    evidence: tuple[dict[str, Any], ...] = ()
    verb: str = ""
    state: State = "open"
    decided_by: str | None = None
    decided_at: float | None = None
    decision_reason: str | None = None
    incident: str | None = None

    @property
    def pending(self) -> bool:
        """Whether it may still be decided."""
        return self.state in PENDING

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes in the evidence, each once."""
        return tuple(item["cause"] for item in self.evidence)

    def is_expired(self, now_ns: int) -> bool:
        """Whether its deadline has passed."""
        return now_ns >= self.deadline_ns


class Proposals:
    """The proposals of one service, oldest first: all pending ones, and the last CLOSED_MAX others."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.known: dict[str, Proposal] = {}
        self.ended: dict[str, int] = {}
        """Number of proposals that ended, by state."""
        self._numbers: dict[str, int] = {}
        self._muted: dict[tuple[str, str], tuple[float, float, int]] = {}
        """Muted causes: (version, cause) → (end in wall seconds, length in seconds, end in monotonic nanoseconds)."""

    def __copy__(self) -> Proposals:
        other = Proposals(self.service)
        other.known, other.ended = dict(self.known), dict(self.ended)
        other._numbers, other._muted = dict(self._numbers), dict(self._muted)
        return other

    # -- reading
    def pending(self) -> list[Proposal]:
        """Return the pending proposals, oldest first."""
        return [proposal for proposal in self.known.values() if proposal.pending]

    def about(self, kind: ProposalKind, version: str) -> Proposal | None:
        """Return the pending proposal of `version`; there is at most one of a kind."""
        return next((p for p in self.pending() if (p.kind, p.version) == (kind, version)), None)

    def next_number(self, kind: ProposalKind) -> int:
        """Return the number of the next proposal of this kind; service, kind and number form the id."""
        return self._numbers.get(kind, 0) + 1

    def is_muted(self, version: str, cause: str, now_ns: int) -> bool:
        """Whether the cause is muted for `version` after a denial or an expiry."""
        known = self._muted.get((version, cause))
        return known is not None and now_ns < known[2]

    def is_new(self, version: str, cause: str, now_ns: int) -> bool:
        """Whether `cause` is new for the active `version`: it is not part of the pending proposal, and not muted."""
        waiting = self.about("rollback", version)
        known = waiting is not None and (cause in waiting.causes or len(waiting.evidence) >= EVIDENCE_MAX)
        return not known and not self.is_muted(version, cause, now_ns)

    # -- the fold
    def apply(self, entry: Entry) -> None:
        """Apply one entry. A second decision on a proposal changes nothing: an entry without effect may be in the journal."""
        match entry.fact:
            case Booted():
                self._boot(entry)
            case Proposed() as fact:
                self._open(entry, fact)
            case EvidenceAdded() as fact:
                self._add(entry, fact)
            case RolledBack() as fact:
                self._rolled_back(entry, fact)
            case Approved() | Denied() | ProposalExpired() | Withdrawn() as fact:
                self._end(entry, fact)
            case _:
                pass

    def _open(self, entry: Entry, fact: Proposed) -> None:
        lasts_s = fact.expire_after_s
        self._numbers[fact.kind] = max(self._numbers.get(fact.kind, 0), fact.number)
        self._keep(
            Proposal(
                fact.proposal,
                fact.kind,
                fact.version,
                fact.left,
                fact.to,
                fact.reason,
                entry.actor,
                entry.at,
                entry.at + lasts_s,
                lasts_s,
                entry.monotonic_ns + int(lasts_s * SECOND_NS),
                fact.at_expiry,
                (_item(fact.evidence, entry),) if fact.evidence else (),
                fact.verb,
            )
        )

    def _add(self, entry: Entry, fact: EvidenceAdded) -> None:
        known = self.known.get(fact.proposal)
        if known is not None and known.pending:
            self._keep(replace(known, evidence=(*known.evidence, _item(fact.evidence, entry))))

    def _rolled_back(self, entry: Entry, fact: RolledBack) -> None:
        """The proposed rollback was made: by approval (which has its own entry) or as the default."""
        known = self.known.get(fact.proposal or "")
        if known is None or not known.pending:
            return
        known = replace(known, incident=fact.incident)
        self._keep(known)
        if fact.automatic:
            self._close(known, "expired", entry, fact.reason)

    def _end(self, entry: Entry, fact: _End) -> None:
        known = self.known.get(fact.proposal)
        if known is None or not known.pending:
            return
        if isinstance(fact, ProposalExpired) and fact.default == "rollback":
            self._keep(replace(known, state="due"))
            return
        self._close(known, _ENDS[type(fact)], entry, "" if isinstance(fact, ProposalExpired) else fact.reason)
        if isinstance(fact, Denied | ProposalExpired) and fact.repeat_after_s is not None:
            self._mute(known, fact.repeat_after_s, entry)

    def _mute(self, known: Proposal, lasts_s: float, entry: Entry) -> None:
        for cause in known.causes:
            self._muted.pop((known.version, cause), None)
            until_ns = entry.monotonic_ns + int(lasts_s * SECOND_NS)
            self._muted[known.version, cause] = entry.at + lasts_s, lasts_s, until_ns
        for key in list(self._muted)[: max(0, len(self._muted) - MUTED_MAX)]:
            del self._muted[key]

    def _close(self, known: Proposal, state: State, entry: Entry, reason: str) -> None:
        self._keep(
            replace(
                known,
                state=state,
                decided_by=entry.actor,
                decided_at=entry.at,
                decision_reason=reason or None,
            )
        )
        self.ended[state] = self.ended.get(state, 0) + 1
        closed = [proposal.id for proposal in self.known.values() if not proposal.pending]
        for old in closed[: max(0, len(closed) - CLOSED_MAX)]:
            del self.known[old]

    def _keep(self, proposal: Proposal) -> None:
        self.known[proposal.id] = proposal

    def _boot(self, entry: Entry) -> None:
        """A cold start: the monotonic clock starts again, so monotonic times in evidence are dropped."""
        for proposal in self.pending():
            deadline_ns = _moved(proposal.expires_at, proposal.expire_after_s, entry)
            evidence = tuple(_without_monotonic(item) for item in proposal.evidence)
            self._keep(replace(proposal, deadline_ns=deadline_ns, evidence=evidence))
        self._muted = {
            key: (until_s, lasts_s, _moved(until_s, lasts_s, entry))
            for key, (until_s, lasts_s, _) in self._muted.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the state as plain data, for comparison."""
        return {
            "known": {name: asdict(proposal) for name, proposal in self.known.items()},
            "ended": self.ended,
            "numbers": self._numbers,
            "muted": {f"{version} {cause}": until for (version, cause), until in self._muted.items()},
        }


def _moved(until_s: float, lasts_s: float, boot: Entry) -> int:
    """Return the wall time `until_s` on the monotonic clock of the new boot; at most `lasts_s` are left."""
    return boot.monotonic_ns + int(min(max(until_s - boot.at, 0.0), lasts_s) * SECOND_NS)


def _item(evidence: dict[str, Any], entry: Entry) -> dict[str, Any]:
    """Return an item of evidence, with its wall time, and with the first fault on the clock of this boot."""
    trigger = in_memory(evidence.get("trigger"), entry.monotonic_ns)
    return {**evidence, **({"trigger": trigger} if "trigger" in evidence else {}), "at": entry.at}


def _without_monotonic(item: dict[str, Any]) -> dict[str, Any]:
    trigger = item.get("trigger")
    return item if not trigger else {**item, "trigger": {**trigger, "evidence_since_ns": None}}
