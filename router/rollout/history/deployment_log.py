"""What was changed in one service, and what came of it: deployments, rollbacks, and when a standby was held.

A fold of the journal's facts, so it survives every restart. What counts as what:

    deployment     a promotion or switch to a version that had been brought in as candidate and never served since
    back and forth a promotion or switch to the standby, or to a version that was unreachable: both had served before
    rollback       by a person or a verdict; it counts against the latest deployment of the version that it left
    drill          facts of their own kinds; they move roles (a standby is held or not), and count as nothing else
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from router.rollout.history.period import Period
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry, route_generation

ENTRIES_MAX: Final = 10_000
"""Facts kept of a service, about 1 KB each: a thousand deployments with all that goes with them."""
_MEMBERS: Final = (
    "states", "generation", "base", "from", "to", "incident", "automatic", "unreachable", "swap_us", "confirmed_ms",
)  # fmt: skip
_SERVED: Final = frozenset({"active", "standby", "unreachable", "draining"})


@dataclass(frozen=True, slots=True)
class Timestamp:
    """`at` is wall time in seconds; two moments of one boot are as far apart as their monotonic times."""

    at: float
    monotonic_ns: int
    boot: int

    def seconds_to(self, later: Timestamp) -> float:
        """Return how much time lies between, whatever the wall clock did meanwhile if both are of one boot."""
        if self.boot == later.boot:
            return max(0.0, (later.monotonic_ns - self.monotonic_ns) / 1e9)
        return max(0.0, later.at - self.at)


@dataclass(frozen=True, slots=True)
class PastRollback:
    """`detect_s`: first fault of the evidence → decision; `restore_s`: → the last worker on the new route. None: unknown,
    because a person decided, or some worker did not confirm in time.
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
    """`ended_by` is the rollback that left this version; None: it stands, or was followed by another one."""

    at: float
    version: str
    ended_by: PastRollback | None = None


@dataclass(frozen=True, slots=True)
class StandbyPeriod:
    """A stretch in which there was a standby; `until` None: there still is."""

    version: str
    since: Timestamp
    until: Timestamp | None

    def seconds_in(self, period: Period, now: Timestamp) -> float:
        """Return how much of it lies in `period`."""
        until = self.until or now
        long_s = self.since.seconds_to(until)
        # The length is exact where the clock is; where it lies in wall time is only as good as the wall clock.
        if period.since_s <= self.since.at and until.at <= period.until_s:
            return long_s
        return min(long_s, period.overlap_s(self.since.at, until.at))


@dataclass(frozen=True, slots=True)
class DeploymentSummary:
    """Everything that the facts of a service say, oldest first. `begun_at`: wall time of the first fact; None without any."""

    begun_at: float | None
    deployments: tuple[Deployment, ...]
    back_and_forth: tuple[float, ...]
    rollbacks: tuple[PastRollback, ...]
    held: tuple[StandbyPeriod, ...]
    complete: bool = True


class DeploymentLog:
    """The facts of one service that bear on its success. Feed it with every entry, in order; ask for the `account`."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.complete = True
        """False once facts had to be forgotten."""
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Take the next entry in, of whichever service; what it overtakes or strikes out goes."""
        if entry.type == kinds.ABANDONED and entry.service == self.service:
            struck = entry.data["abandons"]
            self._entries = [known for known in self._entries if known.seq != struck or not known.seq]
            return
        if entry.service != self.service or not ("states" in entry.data or entry.type == kinds.CONFIRMED):
            return
        base = entry.data.get("base")
        while base is not None and self._entries and (route_generation(self._entries[-1]) or 0) > base:
            self._entries.pop()
        self._entries.append(_slim(entry))
        if len(self._entries) > ENTRIES_MAX + ENTRIES_MAX // 10:
            self._entries = _summed(self._entries[:-ENTRIES_MAX]) + self._entries[-ENTRIES_MAX:]
            self.complete = False

    def account(self) -> DeploymentSummary:
        """Return what all that comes to. Another thread may ask while facts are added."""
        return _Summarizer(list(self._entries)).account(self.complete)


def _slim(entry: Entry) -> Entry:
    data: dict[str, Any] = {name: entry.data[name] for name in _MEMBERS if name in entry.data}
    if trigger := entry.data.get("trigger"):
        data["trigger"] = {name: trigger.get(name) for name in ("kind", "detail", "evidence_since_ns")}
    if entry.type == kinds.RECOVERED and entry.data.get("quarantine"):
        # Control died between the store of a rollback and its journal: that there was one is all that is known.
        left = next(iter(entry.data["quarantine"]))
        to = next((version for version, state in data["states"].items() if state == "active"), "")
        data |= {"from": left, "to": to, "incident": "", "automatic": True}
    return replace(entry, data=data)


def _summed(entries: Iterable[Entry]) -> list[Entry]:
    """Return one fact that leaves every version in the state in which these entries left it."""
    states: dict[str, str] = {}
    last: Entry | None = None
    for entry in entries:
        states |= entry.data.get("states", {})
        last = entry
    held = {version: state for version, state in states.items() if state not in ("retired", "failed")}
    return [] if last is None else [replace(last, type=kinds.RECOVERED, data={"states": held})]


class _Summarizer:
    """One pass over the entries."""

    def __init__(self, entries: list[Entry]) -> None:
        self._states: dict[str, str] = {}
        self._deployments: list[Deployment] = []
        self._latest: dict[str, int] = {}
        self._rollbacks: list[PastRollback] = []
        self._by_generation: dict[int, Entry] = {
            entry.data["generation"]: entry for entry in entries if entry.type == kinds.CONFIRMED
        }
        self._back_and_forth: list[float] = []
        self._held: list[StandbyPeriod] = []
        self._standby: tuple[str, Timestamp] | None = None
        self._begun_at = entries[0].at if entries else None
        for entry in entries:
            self._take(entry)

    def account(self, complete: bool) -> DeploymentSummary:
        held = [*self._held, *([StandbyPeriod(*self._standby, None)] if self._standby else [])]
        return DeploymentSummary(
            self._begun_at,
            tuple(self._deployments),
            tuple(self._back_and_forth),
            tuple(self._rollbacks),
            tuple(held),
            complete,
        )

    def _take(self, entry: Entry) -> None:
        if entry.type in (kinds.PROMOTED, kinds.SWITCHED):
            self._switched(entry)
        elif entry.type == kinds.ROLLED_BACK or (entry.type == kinds.RECOVERED and "from" in entry.data):
            self._rolled_back(entry)
        self._states |= entry.data.get("states", {})
        self._stand_by(entry)

    def _switched(self, entry: Entry) -> None:
        version = entry.data["to"]
        if self._states.get(version) in _SERVED:
            self._back_and_forth.append(entry.at)
            return
        self._latest[version] = len(self._deployments)
        self._deployments.append(Deployment(entry.at, version))

    def _rolled_back(self, entry: Entry) -> None:
        made = _rollback(entry, self._by_generation.get(entry.data["generation"]))
        self._rollbacks.append(made)
        number = self._latest.pop(made.left, None)
        if number is not None:
            self._deployments[number] = replace(self._deployments[number], ended_by=made)

    def _stand_by(self, entry: Entry) -> None:
        now = Timestamp(entry.at, entry.monotonic_ns, entry.boot)
        standby = next((version for version, state in self._states.items() if state == "standby"), None)
        if self._standby is not None and self._standby[0] != standby:
            self._held.append(StandbyPeriod(*self._standby, now))
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
        ".".join(filter(None, (trigger.get("kind"), trigger.get("detail")))) or _by_whom(entry),
        detect_s,
        restore_s,
    )


def _by_whom(entry: Entry) -> str:
    return "unknown" if entry.data["automatic"] else "a person"
