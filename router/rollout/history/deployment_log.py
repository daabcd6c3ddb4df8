"""The deployments and rollbacks of one service, and the periods with a standby: the fold of its journal.

deployment     a promotion or switch to a version that was deployed as candidate and has not served since
back and forth a promotion or switch to the standby, or to an unreachable version: both have served before
rollback       by an operator or a verdict; it ends the latest deployment of the version that it left
drill          changes roles, so it may begin or end a standby period; it is no deployment and no rollback
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.evidence_time import seconds_before
from router.rollout.facts.router_itself import Abandoned
from router.rollout.facts.switches import Confirmed, Promoted, Recovered, RolledBack, Switched
from router.rollout.facts.versions import VersionFact
from router.rollout.history.period import Period
from router.rollout.model.target import State

ENTRIES_MAX: Final = 10_000
"""Entries kept of a service, about 1 KB each: enough for a thousand deployments."""
_SERVED: Final = frozenset({State.ACTIVE, State.STANDBY, State.UNREACHABLE, State.DRAINING})
_TRIGGER_MEMBERS: Final = ("kind", "detail", "evidence_since_s")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """`at` is wall time in seconds; within one boot, differences are those of the monotonic times."""

    at: float
    monotonic_ns: int
    boot: int

    def seconds_to(self, later: Timestamp) -> float:
        """Return the seconds between the two; within one boot, jumps of the wall clock have no effect."""
        if self.boot == later.boot:
            return max(0.0, (later.monotonic_ns - self.monotonic_ns) / 1e9)
        return max(0.0, later.at - self.at)


@dataclass(frozen=True, slots=True)
class PastRollback:
    """`detect_s`: first fault of the evidence → decision; `restore_s`: → the last worker on the new route. None: unknown,
    because an operator decided, or a worker did not confirm in time.
    """

    at: float
    left: str
    to: str
    incident: str
    automatic: bool
    unreachable: bool
    trigger: str
    detect_s: float | None
    restore_s: float | None


@dataclass(frozen=True, slots=True)
class Deployment:
    """`ended_by` is the rollback from this version; None: there was none."""

    at: float
    version: str
    ended_by: PastRollback | None = None


@dataclass(frozen=True, slots=True)
class StandbyPeriod:
    """A period with a standby; `until` is None while it lasts."""

    version: str
    since: Timestamp
    until: Timestamp | None

    def seconds_in(self, period: Period, now: Timestamp) -> float:
        """Return how many seconds of it lie in `period`."""
        until = self.until or now
        long_s = self.since.seconds_to(until)
        # The length is exact; its place in wall time is only as exact as the wall clock.
        if period.since_s <= self.since.at and until.at <= period.until_s:
            return long_s
        return min(long_s, period.overlap_s(self.since.at, until.at))


@dataclass(frozen=True, slots=True)
class DeploymentSummary:
    """Deployments and rollbacks of a service, oldest first. `begun_at`: wall time of the first entry; None without entries."""

    begun_at: float | None
    deployments: tuple[Deployment, ...]
    back_and_forth: tuple[float, ...]
    rollbacks: tuple[PastRollback, ...]
    standby_periods: tuple[StandbyPeriod, ...]
    complete: bool = True


class DeploymentLog:
    """The entries of one service that change roles. `add` every entry in order; `summary` returns the result."""

    def __init__(self, service: str, entries_max: int = ENTRIES_MAX) -> None:
        self.service = service
        self._entries_max = entries_max
        self.complete = True
        """False after entries were dropped."""
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Add the next entry of any service; entries that it overtakes or abandons are removed."""
        fact = entry.fact
        if entry.service != self.service:
            return
        if isinstance(fact, Abandoned):
            self._entries = [known for known in self._entries if known.seq != fact.abandons or not known.seq]
            return
        if not isinstance(fact, Confirmed) and not (isinstance(fact, VersionFact) and fact.states is not None):
            return
        base = fact.base if isinstance(fact, VersionFact) else None
        while base is not None and self._entries and (route_generation(self._entries[-1]) or 0) > base:
            self._entries.pop()
        self._entries.append(_reduced(entry))
        if len(self._entries) > self._entries_max + self._entries_max // 10:
            self._entries = _final_states(self._entries[: -self._entries_max]) + self._entries[-self._entries_max :]
            self.complete = False

    def summary(self) -> DeploymentSummary:
        """Return the summary of the entries so far. Another thread may call it while entries are added."""
        return _Summarizer(list(self._entries)).summary(self.complete)


def _reduced(entry: Entry) -> Entry:
    """Return the entry without documents that the summary does not need."""
    fact = entry.fact
    if isinstance(fact, RolledBack):
        trigger = {name: fact.trigger.get(name) for name in _TRIGGER_MEMBERS} if fact.trigger else None
        fact = replace(fact, trigger=trigger, evidence=None)
    elif isinstance(fact, Recovered) and fact.quarantine:
        # Control died after it had stored a rollback and before it had journalled it: incident and trigger are unknown.
        left, states = next(iter(fact.quarantine)), fact.states
        fact = RolledBack(
            generation=fact.generation,
            base=fact.base,
            states=states,
            left=left,
            to=fact.activated or "",
            automatic=True,
        )
    return replace(entry, fact=fact)


def _states(entry: Entry) -> dict[str, State]:
    return entry.fact.new_states if isinstance(entry.fact, VersionFact) else {}


def _final_states(entries: Iterable[Entry]) -> list[Entry]:
    """Return one entry with the final states of all these entries."""
    states: dict[str, State] = {}
    last: Entry | None = None
    for entry in entries:
        states |= _states(entry)
        last = entry
    standby_periods: dict[str, State] = {
        v: state for v, state in states.items() if state not in (State.RETIRED, State.FAILED)
    }
    return [] if last is None else [replace(last, fact=Recovered(states=standby_periods))]


class _Summarizer:
    """One pass over the entries."""

    def __init__(self, entries: list[Entry]) -> None:
        self._states: dict[str, State] = {}
        self._deployments: list[Deployment] = []
        self._latest: dict[str, int] = {}
        self._rollbacks: list[PastRollback] = []
        self._by_generation: dict[int, Confirmed] = {
            entry.fact.generation: entry.fact for entry in entries if isinstance(entry.fact, Confirmed)
        }
        self._back_and_forth: list[float] = []
        self._standby_periods: list[StandbyPeriod] = []
        self._standby: tuple[str, Timestamp] | None = None
        self._begun_at = entries[0].at if entries else None
        for entry in entries:
            self._take(entry)

    def summary(self, complete: bool) -> DeploymentSummary:
        standby_periods = [*self._standby_periods, *([StandbyPeriod(*self._standby, None)] if self._standby else [])]
        return DeploymentSummary(
            self._begun_at,
            tuple(self._deployments),
            tuple(self._back_and_forth),
            tuple(self._rollbacks),
            tuple(standby_periods),
            complete,
        )

    def _take(self, entry: Entry) -> None:
        match entry.fact:
            case Promoted(to=version) | Switched(to=version):
                self._switched(version, entry.at)
            case RolledBack() as fact:
                self._rolled_back(fact, entry.at)
            case _:
                pass
        self._states |= _states(entry)
        self._update_standby(entry)

    def _switched(self, version: str, at: float) -> None:
        if self._states.get(version) in _SERVED:
            self._back_and_forth.append(at)
            return
        self._latest[version] = len(self._deployments)
        self._deployments.append(Deployment(at, version))

    def _rolled_back(self, fact: RolledBack, at: float) -> None:
        rollback = _rollback(fact, at, self._by_generation.get(fact.generation or 0))
        self._rollbacks.append(rollback)
        number = self._latest.pop(rollback.left, None)
        if number is not None:
            self._deployments[number] = replace(self._deployments[number], ended_by=rollback)

    def _update_standby(self, entry: Entry) -> None:
        now = Timestamp(entry.at, entry.monotonic_ns, entry.boot)
        standby = next((version for version, state in self._states.items() if state is State.STANDBY), None)
        if self._standby is not None and self._standby[0] != standby:
            self._standby_periods.append(StandbyPeriod(*self._standby, now))
            self._standby = None
        if standby is not None and self._standby is None:
            self._standby = (standby, now)


def _rollback(fact: RolledBack, at: float, confirmed: Confirmed | None) -> PastRollback:
    trigger = fact.trigger or {}
    detect_s = seconds_before(fact.trigger)
    restore_s = None
    if detect_s is not None and confirmed is not None and confirmed.confirmed_ms is not None:
        restore_s = detect_s + (confirmed.swap_us or 0) / 1e6 + confirmed.confirmed_ms / 1e3
    return PastRollback(
        at,
        fact.left or "",
        fact.to,
        fact.incident or "",
        fact.automatic,
        fact.unreachable,
        ".".join(filter(None, (trigger.get("kind"), trigger.get("detail")))) or _decided_by(fact),
        detect_s,
        restore_s,
    )


def _decided_by(fact: RolledBack) -> str:
    return "unknown" if fact.automatic else "an operator"
