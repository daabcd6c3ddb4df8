"""The deployments and rollbacks of one service, and the periods with a standby: the fold of its journal.

deployment     a promotion or switch to a version that was deployed as candidate and has not served since
back and forth a promotion or switch to the standby, or to an unreachable version: both have served before
rollback       by an operator or a verdict; it ends the latest deployment of the version that it left
drill          changes roles, so it may begin or end a standby period; it is no deployment and no rollback
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from router.rollout.history.period import Period
from router.rollout.model import entry as entry_types
from router.rollout.model.entry import Entry, route_generation

ENTRIES_MAX: Final = 10_000
"""Entries kept of a service, about 1 KB each: enough for a thousand deployments."""
_MEMBERS: Final = (
    "states",
    "generation",
    "base",
    "from",
    "to",
    "incident",
    "automatic",
    "unreachable",
    "swap_us",
    "confirmed_ms",
)
_SERVED: Final = frozenset({"active", "standby", "unreachable", "draining"})


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
        if entry.type == entry_types.ABANDONED and entry.service == self.service:
            abandoned = entry.data["abandons"]
            self._entries = [known for known in self._entries if known.seq != abandoned or not known.seq]
            return
        if entry.service != self.service or not ("states" in entry.data or entry.type == entry_types.CONFIRMED):
            return
        base = entry.data.get("base")
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
    data: dict[str, Any] = {name: entry.data[name] for name in _MEMBERS if name in entry.data}
    if trigger := entry.data.get("trigger"):
        data["trigger"] = {name: trigger.get(name) for name in ("kind", "detail", "evidence_since_ns")}
    if entry.type == entry_types.RECOVERED and entry.data.get("quarantine"):
        # Control died after it had stored a rollback and before it had journalled it: incident and trigger are unknown.
        left = next(iter(entry.data["quarantine"]))
        to = next((version for version, state in data["states"].items() if state == "active"), "")
        data |= {"from": left, "to": to, "incident": "", "automatic": True}
    return replace(entry, data=data)


def _final_states(entries: Iterable[Entry]) -> list[Entry]:
    """Return one entry with the final states of all these entries."""
    states: dict[str, str] = {}
    last: Entry | None = None
    for entry in entries:
        states |= entry.data.get("states", {})
        last = entry
    standby_periods = {version: state for version, state in states.items() if state not in ("retired", "failed")}
    return [] if last is None else [replace(last, type=entry_types.RECOVERED, data={"states": standby_periods})]


class _Summarizer:
    """One pass over the entries."""

    def __init__(self, entries: list[Entry]) -> None:
        self._states: dict[str, str] = {}
        self._deployments: list[Deployment] = []
        self._latest: dict[str, int] = {}
        self._rollbacks: list[PastRollback] = []
        self._by_generation: dict[int, Entry] = {
            entry.data["generation"]: entry for entry in entries if entry.type == entry_types.CONFIRMED
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
        if entry.type in (entry_types.PROMOTED, entry_types.SWITCHED):
            self._switched(entry)
        elif entry.type == entry_types.ROLLED_BACK or (entry.type == entry_types.RECOVERED and "from" in entry.data):
            self._rolled_back(entry)
        self._states |= entry.data.get("states", {})
        self._update_standby(entry)

    def _switched(self, entry: Entry) -> None:
        version = entry.data["to"]
        if self._states.get(version) in _SERVED:
            self._back_and_forth.append(entry.at)
            return
        self._latest[version] = len(self._deployments)
        self._deployments.append(Deployment(entry.at, version))

    def _rolled_back(self, entry: Entry) -> None:
        rollback = _rollback(entry, self._by_generation.get(entry.data["generation"]))
        self._rollbacks.append(rollback)
        number = self._latest.pop(rollback.left, None)
        if number is not None:
            self._deployments[number] = replace(self._deployments[number], ended_by=rollback)

    def _update_standby(self, entry: Entry) -> None:
        now = Timestamp(entry.at, entry.monotonic_ns, entry.boot)
        standby = next((version for version, state in self._states.items() if state == "standby"), None)
        if self._standby is not None and self._standby[0] != standby:
            self._standby_periods.append(StandbyPeriod(*self._standby, now))
            self._standby = None
        if standby is not None and self._standby is None:
            self._standby = (standby, now)


def _rollback(entry: Entry, confirmed: Entry | None) -> PastRollback:
    data = entry.data
    trigger: dict[str, Any] = data.get("trigger") or {}
    since_ns = trigger.get("evidence_since_ns")
    detect_s = max(0.0, (entry.monotonic_ns - since_ns) / 1e9) if since_ns else None
    restore_s = None
    if detect_s is not None and confirmed is not None and confirmed.data.get("confirmed_ms") is not None:
        restore_s = detect_s + (confirmed.data.get("swap_us") or 0) / 1e6 + confirmed.data["confirmed_ms"] / 1e3
    return PastRollback(
        entry.at,
        data["from"],
        data["to"],
        data["incident"],
        bool(data["automatic"]),
        bool(data.get("unreachable")),
        ".".join(filter(None, (trigger.get("kind"), trigger.get("detail")))) or _decided_by(entry),
        detect_s,
        restore_s,
    )


def _decided_by(entry: Entry) -> str:
    return "unknown" if entry.data["automatic"] else "an operator"
