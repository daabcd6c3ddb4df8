"""A decision that waits for a person: what is proposed and why, until when, and what became of it. The fold of its entries.

    state       means
    open        may be approved or denied
    due         its time is over and its default is a rollback, which waits for the gate of every automatic rollback;
                a person may still approve it, or deny it
    approved    done, by whom
    denied      not to be done, by whom
    expired     nobody decided in time: nothing was done, or the default was
    withdrawn   there is nothing left to decide, its version is not what it was

Time. A proposal ends on the monotonic clock of this boot, so a wall clock that jumps neither shortens nor prolongs it. Only
a cold start asks the wall clock, once: what is left then is between nothing and the whole time, however wrong it goes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry

Kind = Literal["rollback", "promotion"]
Default = Literal["hold", "rollback"]
State = Literal["open", "due", "approved", "denied", "expired", "withdrawn"]

PENDING: Final = frozenset({"open", "due"})
EVIDENCE_MAX: Final = 10
"""Of one proposal, one for each cause; later causes are not kept."""
CLOSED_MAX: Final = 200
QUIET_MAX: Final = 200
_SECOND_NS: Final = 1_000_000_000
_ENDS: Final[dict[str, State]] = {
    kinds.APPROVED: "approved",
    kinds.DENIED: "denied",
    kinds.PROPOSAL_EXPIRED: "expired",
    kinds.WITHDRAWN: "withdrawn",
}


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """What the settings say. `promote_needs_approval`: a candidate becomes active by two people."""

    expire_after_s: float = 1800.0
    at_expiry: Default = "hold"
    repeat_after_s: float = 3600.0
    """After a denial, or an expiry without a rollback, the same cause proposes nothing for so long."""
    promote_needs_approval: bool = False
    promotion_expire_after_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """`version` is what it is about: the active version that should go, or the candidate that should become active.

    `left` is the version that was active when it was opened, `to` the one that would be. `opened_at`, `expires_at` and
    `decided_at` are wall seconds, for people; `deadline_ns` is what counts, on the monotonic clock of this boot. Evidence is
    one `{cause, at, trigger, alert, impact}` for each cause. `verb` is the type of the entry that a promotion becomes.
    """

    id: str
    kind: Kind
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
    why: str | None = None
    incident: str | None = None

    @property
    def pending(self) -> bool:
        """Whether it may still be decided."""
        return self.state in PENDING

    @property
    def causes(self) -> tuple[str, ...]:
        """What asked for it, each once."""
        return tuple(item["cause"] for item in self.evidence)

    def over(self, now_ns: int) -> bool:
        """Whether its time has passed."""
        return now_ns >= self.deadline_ns


class Proposals:
    """All proposals of one service, oldest first; of those that were decided the last CLOSED_MAX."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.known: dict[str, Proposal] = {}
        self.ended: dict[str, int] = {}
        """How many ever ended in which state."""
        self._numbers: dict[str, int] = {}
        self._quiet: dict[tuple[str, str], tuple[float, float, int]] = {}
        """By version and cause: until when on the wall clock, for how many seconds in all, and until when (monotonic)."""

    # -- reading
    def pending(self) -> list[Proposal]:
        """Return those that wait, oldest first."""
        return [proposal for proposal in self.known.values() if proposal.pending]

    def about(self, kind: Kind, version: str) -> Proposal | None:
        """Return the one that waits for a decision on `version`; there is at most one."""
        return next((p for p in self.pending() if (p.kind, p.version) == (kind, version)), None)

    def next_number(self, kind: Kind) -> int:
        """Return the number of the next proposal of this kind; with service and kind it is the id."""
        return self._numbers.get(kind, 0) + 1

    def is_quiet(self, version: str, cause: str, now_ns: int) -> bool:
        """Whether people have said, not long ago, that they do not want to be asked about this."""
        known = self._quiet.get((version, cause))
        return known is not None and now_ns < known[2]

    def wants(self, version: str, cause: str, now_ns: int) -> bool:
        """Whether `cause` would say something new about the active `version`: it is no evidence yet, and nobody has answered
        it lately.
        """
        waiting = self.about("rollback", version)
        known = waiting is not None and (cause in waiting.causes or len(waiting.evidence) >= EVIDENCE_MAX)
        return not known and not self.is_quiet(version, cause, now_ns)

    # -- the fold
    def apply(self, entry: Entry) -> None:
        """Fold one entry. One that decides what is decided already changes nothing: a change that was journalled in vain may
        stand between a fact and the next.
        """
        match entry.type:
            case kinds.BOOT:
                self._boot(entry)
            case kinds.PROPOSED:
                self._open(entry)
            case kinds.EVIDENCE_ADDED:
                self._add(entry)
            case kinds.ROLLED_BACK:
                self._rolled_back(entry)
            case _ if entry.type in _ENDS:
                self._end(entry)
            case _:
                pass

    def _open(self, entry: Entry) -> None:
        data = entry.data
        kind, lasts_s = data["kind"], data["expire_after_s"]
        self._numbers[kind] = max(self._numbers.get(kind, 0), data["number"])
        self._keep(
            Proposal(
                data["proposal"],
                kind,
                data["version"],
                data["from"],
                data["to"],
                data["reason"],
                entry.actor,
                entry.at,
                entry.at + lasts_s,
                lasts_s,
                entry.monotonic_ns + int(lasts_s * _SECOND_NS),
                data["at_expiry"],
                ({**data["evidence"], "at": entry.at},) if data.get("evidence") else (),
                data.get("verb", ""),
            )
        )

    def _add(self, entry: Entry) -> None:
        known = self.known.get(entry.data["proposal"])
        if known is not None and known.pending:
            self._keep(replace(known, evidence=(*known.evidence, {**entry.data["evidence"], "at": entry.at})))

    def _rolled_back(self, entry: Entry) -> None:
        """The rollback that was proposed was made: by approval, which is an entry of its own, or as the default."""
        known = self.known.get(entry.data.get("proposal") or "")
        if known is None or not known.pending:
            return
        known = replace(known, incident=entry.data["incident"])
        self._keep(known)
        if entry.data["automatic"]:
            self._close(known, "expired", entry)

    def _end(self, entry: Entry) -> None:
        known = self.known.get(entry.data["proposal"])
        if known is None or not known.pending:
            return
        if entry.type == kinds.PROPOSAL_EXPIRED and entry.data["default"] == "rollback":
            self._keep(replace(known, state="due"))
            return
        self._close(known, _ENDS[entry.type], entry)
        if (lasts_s := entry.data.get("repeat_after_s")) is not None:
            self._hush(known, lasts_s, entry)

    def _hush(self, known: Proposal, lasts_s: float, entry: Entry) -> None:
        for cause in known.causes:
            self._quiet.pop((known.version, cause), None)
            until_ns = entry.monotonic_ns + int(lasts_s * _SECOND_NS)
            self._quiet[known.version, cause] = entry.at + lasts_s, lasts_s, until_ns
        for key in list(self._quiet)[: max(0, len(self._quiet) - QUIET_MAX)]:
            del self._quiet[key]

    def _close(self, known: Proposal, state: State, entry: Entry) -> None:
        self._keep(
            replace(
                known, state=state, decided_by=entry.actor, decided_at=entry.at, why=entry.data.get("reason") or None
            )
        )
        self.ended[state] = self.ended.get(state, 0) + 1
        closed = [proposal.id for proposal in self.known.values() if not proposal.pending]
        for old in closed[: max(0, len(closed) - CLOSED_MAX)]:
            del self.known[old]

    def _keep(self, proposal: Proposal) -> None:
        self.known[proposal.id] = proposal

    def _boot(self, entry: Entry) -> None:
        """A cold start: the monotonic clock is another one, and what it had to say of evidence is void."""
        for proposal in self.pending():
            deadline_ns = _moved(proposal.expires_at, proposal.expire_after_s, entry)
            evidence = tuple(_without_monotonic(item) for item in proposal.evidence)
            self._keep(replace(proposal, deadline_ns=deadline_ns, evidence=evidence))
        self._quiet = {
            key: (until_s, lasts_s, _moved(until_s, lasts_s, entry))
            for key, (until_s, lasts_s, _) in self._quiet.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data, for comparison."""
        return {
            "known": {name: asdict(proposal) for name, proposal in self.known.items()},
            "ended": self.ended,
            "numbers": self._numbers,
            "quiet": {f"{version} {cause}": until for (version, cause), until in self._quiet.items()},
        }


def _moved(until_s: float, lasts_s: float, boot: Entry) -> int:
    """Return the monotonic time of `until_s` (wall) in the boot that begins: what is left, at most all of it."""
    return boot.monotonic_ns + int(min(max(until_s - boot.at, 0.0), lasts_s) * _SECOND_NS)


def _without_monotonic(item: dict[str, Any]) -> dict[str, Any]:
    trigger = item.get("trigger")
    return item if not trigger else {**item, "trigger": {**trigger, "evidence_since_ns": None}}
