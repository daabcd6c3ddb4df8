"""What one service is: its versions, their states and history, quarantine, freeze, baseline. The fold of its journal.

`apply` is the only way to change it, and an entry is the only thing it takes, so what is rebuilt from the journal at a start
is what was there before. An entry that the rules do not allow raises and changes nothing. Every entry that changes roles
carries the new state of every version it touches: a later one needs no earlier one to be understood.

    data member    means
    generation     the route that goes with it, if there are states
    states         {version: state after it}, empty if only the route is new
    base           the generation on which it was decided
    target         {version, endpoints, slot, incarnation}: a version placed in a slot, or moved
    bounded        versions whose drain is cut after rollback_drain_timeout_s
    freed          versions that hold no slot any more
    quarantine     {version: {reason, incident}}; a mark that returns has its `actor` and `at`, too
    release        versions whose mark is lifted
    lifted_for_s   {version: seconds} of those among them whose mark comes back
    artifact, source  where the version of `target` comes from
    forced         true: the states are taken as they are (memory that outlived control; an assumption of the operator)
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from heapq import nsmallest
from typing import Any, Final

from router.errors import InternalError
from router.rollout.incidents.incident import confirmed, incidents_after
from router.rollout.machine.added_criteria import AddedCriteria
from router.rollout.model import entry as kinds
from router.rollout.model.entry import SWITCHES, Entry, route_generation
from router.rollout.model.route import NO_SLOT, SLOTS, Flag, Route, first_generation
from router.rollout.model.target import CANDIDATES, ROLES, State, Target
from router.rollout.proposals.proposal import Proposals
from router.rollout.versions.active_periods import ActivePeriods
from router.rollout.versions.provenance import Provenance, pedigrees_after
from router.rollout.versions.quarantine import TemporaryRelease, lifted

HISTORY_MAX: Final = 100
"""Lines of one version; what was live when is kept beside them (tenure.py)."""

RETIRED_MAX: Final = 500
"""Versions without a slot."""

_MOVING: Final = frozenset({"states", "target", "bounded", "freed"})
"""Members of entries that change what a version is: a start folds every entry there is, and most have none of them."""

_ROLES_ONCE: Final = ("active", "standby", "candidate")


class Registry:
    """The folded facts of one service. Read its members; change it by `apply` alone."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.generation = 0
        self.targets: dict[str, Target] = {}
        self.quarantines: dict[str, dict[str, Any]] = {}
        self.lifts: dict[str, TemporaryRelease] = {}
        """Marks that are lifted for a while."""
        self.pedigrees: dict[str, Provenance] = {}
        self.tenures = ActivePeriods()
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.incarnations = [0] * SLOTS
        self.frozen: dict[str, Any] | None = None
        self.automatic_left = False
        """Whether the present promotion may still be rolled back by itself: at most once, by construction."""
        self.active_since_ns = 0
        self.probation_since_ns = 0
        """When the active version was promoted; a drill begins no new probation."""
        self.baseline: dict[str, Any] | None = None
        self.last_switch: dict[str, Any] | None = None
        self.incidents: list[dict[str, Any]] = []
        self.drill: dict[str, Any] | None = None
        """The real drill under way, as it was started; `away`: its standby serves."""
        self.switches: dict[str, int] = {}
        """Switches ever, by cause: `operator`, `verdict`."""
        self.proposals = Proposals(service)
        self.criteria = AddedCriteria()

    # -- reading
    def of_state(self, *states: State) -> Target | None:
        """Return the version in one of `states`; there is at most one for a role."""
        return next((target for target in reversed(self.targets.values()) if target.state in states), None)

    @property
    def active(self) -> Target | None:
        """The version that serves."""
        return self.of_state(State.ACTIVE)

    @property
    def standby(self) -> Target | None:
        """The version to go back to."""
        return self.of_state(State.STANDBY)

    @property
    def candidate(self) -> Target | None:
        """The version that is being brought in."""
        return self.of_state(*CANDIDATES)

    def in_slot(self, slot: int) -> Target | None:
        """Return the version that holds `slot`."""
        return next((target for target in self.targets.values() if target.slot == slot), None)

    def holders(self) -> list[Target]:
        """Return the versions that hold a slot, by slot."""
        return sorted((t for t in self.targets.values() if t.slot is not None), key=lambda t: t.slot or 0)

    def route(self, generation: int | None = None, flags: Flag = Flag.NONE) -> Route:
        """Return the route that these states mean."""
        active, standby, candidate = (
            NO_SLOT if target is None or target.slot is None else target.slot
            for target in (self.active, self.standby, self.candidate)
        )
        return Route(self.generation if generation is None else generation, active, standby, candidate, flags=flags)

    def mark(self, version: str, now_ns: int) -> dict[str, Any] | None:
        """Return the quarantine that blocks `version` now, also one of which nobody has noted yet that it is back."""
        if (mark := self.quarantines.get(version)) is not None:
            return mark
        lift = self.lifts.get(version)
        return lift.mark if lift is not None and lift.over(now_ns) else None

    def way_back(self) -> str | None:
        """Return why automation could not go back now, as far as roles and marks say; None if it could."""
        if self.active is None:
            return "there is no active version"
        if self.standby is None:
            away = self.of_state(State.UNREACHABLE)
            return f"{away.version} is unreachable since it was rolled back" if away else "there is no standby"
        if (mark := self.quarantines.get(self.standby.version)) is not None:
            return f"{self.standby.version} is quarantined: {mark['reason']}"
        return None

    @property
    def rehearsing(self) -> bool:
        """Whether the version that serves does so for a drill."""
        return self.drill is not None and bool(self.drill["away"])

    # -- the fold
    def apply(self, entry: Entry) -> None:
        """Fold one entry; raise InternalError, changing nothing, if it is not possible here."""
        if entry.type == kinds.BOOT:
            self._boot(entry)
            self.proposals.apply(entry)
            return
        moved = entry.type == kinds.ACCEPTED or not _MOVING.isdisjoint(entry.data)
        if moved:
            targets = self._targets_after(entry)
            self._check(targets)
            self.targets = targets
            active = self.active
            self.tenures.note(entry, active.version if active else None)
        self._marks(entry)
        self.pedigrees = pedigrees_after(self.pedigrees, entry)
        match entry.type:
            case kinds.FROZEN:
                self.frozen = {"actor": entry.actor, "reason": entry.data["reason"], "at": entry.at}
            case kinds.UNFROZEN:
                self.frozen = None
            case kinds.BASELINE | kinds.ACCEPTED:
                self.baseline = entry.data["baseline"]
            case kinds.CONFIRMED:
                self._confirmed(entry)
            case kinds.DRILL_STARTED | kinds.DRILL_SWITCHED | kinds.DRILL_ENDED:
                self._drilled(entry)
            case _ if entry.type in SWITCHES:
                self._switched(entry)
            case kinds.SEEDED | kinds.RECOVERED:
                self.automatic_left = entry.data.get("automatic_left", True)
                self._took_over(entry)
            case _:
                pass
        self.proposals.apply(entry)
        self.criteria.apply(entry)
        self.incidents = incidents_after(self.incidents, entry)
        self._note(entry)
        if moved and len(self.targets) > RETIRED_MAX:
            self._forget()

    def _boot(self, entry: Entry) -> None:
        """A cold start: the roles stay, the clock and the generations start anew."""
        self.generation = first_generation(entry.boot) + 1
        self.active_since_ns = self.probation_since_ns = entry.monotonic_ns
        self.targets = {
            version: replace(target, since_ns=entry.monotonic_ns, roleless_generation=0)
            for version, target in self.targets.items()
        }
        self.lifts = {version: lift.rebooted(entry) for version, lift in self.lifts.items()}

    def _targets_after(self, entry: Entry) -> dict[str, Target]:
        data = entry.data
        targets = dict(self.targets)
        generation = data.get("generation", self.generation)
        states = {version: State(state) for version, state in data.get("states", {}).items()}
        if placed := data.get("target"):
            targets[placed["version"]] = self._placed(targets.get(placed["version"]), placed, states, entry)
        for version, state in states.items():
            known = targets.get(version)
            if known is None:
                raise InternalError("journal_inconsistent", f"{entry.type}: {version} of {self.service} is not known")
            if known.state is not state:
                change = known.forced if data.get("forced") else known.moved
                targets[version] = change(state, at=entry.at, at_ns=entry.monotonic_ns, generation=generation)
        for version in data.get("bounded", ()):
            targets[version] = replace(targets[version], bounded=True)
        for version in data.get("freed", ()):
            targets[version] = replace(targets[version], slot=None)
        if entry.type == kinds.ACCEPTED:
            targets[data["version"]] = replace(targets[data["version"]], accepted=True)
        return targets

    def _placed(self, known: Target | None, placed: dict[str, Any], states: dict[str, State], entry: Entry) -> Target:
        endpoints = tuple(placed["endpoints"])
        slot, incarnation = placed.get("slot"), placed.get("incarnation", 0)
        if known is not None:
            return replace(known, endpoints=endpoints, slot=slot, incarnation=incarnation)
        state = states[placed["version"]]
        return Target(placed["version"], endpoints, state, slot, incarnation, entry.monotonic_ns, entry.at)

    def _check(self, targets: dict[str, Target]) -> None:
        """Two versions in one role or in one slot, or a role without a slot, are no state of affairs."""
        held = [target for target in targets.values() if target.slot is not None or target.state in ROLES]
        roles = [target.role for target in held if target.state in ROLES]
        slots = [target.slot for target in held if target.slot is not None]
        homeless = [target.version for target in held if target.slot is None]
        if any(roles.count(role) > 1 for role in _ROLES_ONCE) or len(set(slots)) < len(slots) or homeless:
            told = {target.version: (target.state.value, target.slot) for target in targets.values()}
            raise InternalError("roles_inconsistent", f"{self.service}: {told}")

    def _marks(self, entry: Entry) -> None:
        data = entry.data
        self.generation = max(self.generation, route_generation(entry) or 0)
        if placed := data.get("target"):
            if placed.get("slot") is not None:
                slot = placed["slot"]
                self.incarnations[slot] = max(self.incarnations[slot], placed["incarnation"])
        for version, mark in data.get("quarantine", {}).items():
            self.lifts.pop(version, None)
            self.quarantines[version] = {"at": entry.at, "actor": entry.actor, **mark}
        for version in data.get("release", ()):
            lift = self.lifts.pop(version, None)
            mark = self.quarantines.pop(version, lift.mark if lift else None)
            after_s = data.get("lifted_for_s", {}).get(version)
            if mark is not None and after_s is not None:
                self.lifts[version] = lifted(mark, entry, after_s)

    def _switched(self, entry: Entry) -> None:
        data = entry.data
        automatic = bool(data.get("automatic"))
        if entry.type != kinds.ROLLED_BACK:
            self.automatic_left = True
        elif automatic:
            self.automatic_left = False
        self.active_since_ns = self.probation_since_ns = entry.monotonic_ns
        self.drill = None
        cause = "verdict" if automatic else "operator"
        self.switches[cause] = self.switches.get(cause, 0) + 1
        self.last_switch = {
            "at": entry.at,
            "type": entry.type,
            "from": data["from"],
            "to": data["to"],
            "cause": cause,
            "actor": entry.actor,
            "reason": data["reason"],
            "generation": data["generation"],
            "swap_us": None,
            "confirmed_ms": None,
            "trigger": data.get("trigger"),
        }

    def _took_over(self, entry: Entry) -> None:
        """Seeds, or what shared memory knew better; of a drill it knows which version serves, and nothing else."""
        self.active_since_ns = entry.monotonic_ns
        if self.drill is None:
            self.probation_since_ns = entry.monotonic_ns
        elif self.active is not None:
            self.drill = {**self.drill, "away": self.active.version == self.drill["to"]}

    def _drilled(self, entry: Entry) -> None:
        """A drill changes which version serves, and since when; it is no switch, and nobody's probation."""
        data = entry.data
        if entry.type == kinds.DRILL_STARTED:
            self.drill = {**data, "actor": entry.actor, "away": False} if data["mode"] == "real" else self.drill
        elif entry.type == kinds.DRILL_SWITCHED:
            self.active_since_ns = entry.monotonic_ns
            if self.drill is not None:
                self.drill = {**self.drill, "away": not data["home"]}
        elif self.drill is not None and self.drill["drill"] == data["drill"]:
            if self.drill["away"]:  # it stays: from here on that is the version to be proven
                self.probation_since_ns = self.active_since_ns
            self.drill = None

    def _confirmed(self, entry: Entry) -> None:
        generation = entry.data["generation"]
        if self.last_switch and self.last_switch["generation"] == generation:
            self.last_switch = confirmed(self.last_switch, entry)

    def _note(self, entry: Entry) -> None:
        """Keep for each version touched what happened to it."""
        data = entry.data
        touched = {*data.get("states", {}), *data.get("quarantine", {}), *data.get("release", ())}
        if placed := data.get("target"):
            touched.add(placed["version"])
        for version in touched:
            line = {"at": entry.at, "event": entry.type, "actor": entry.actor}
            line |= {"state": data["states"][version]} if version in data.get("states", {}) else {}
            line |= {name: data[name] for name in ("reason", "incident") if data.get(name)}
            self.history[version] = [*self.history.get(version, ()), line][-HISTORY_MAX:]

    def _forget(self) -> None:
        """Drop the longest retired versions beyond `RETIRED_MAX`, accepted ones last; never one that is quarantined."""
        marked = self.quarantines.keys() | self.lifts.keys()
        gone = [t for t in self.targets.values() if t.slot is None and t.version not in marked]
        for target in nsmallest(len(gone) - RETIRED_MAX, gone, key=lambda t: (t.accepted, t.since)):
            del self.targets[target.version]
            self.history.pop(target.version, None)
            self.pedigrees.pop(target.version, None)

    def as_dict(self) -> dict[str, Any]:
        """Return a copy of everything, as plain data, for comparison."""
        told = {
            "service": self.service,
            "generation": self.generation,
            "targets": {version: target.as_dict() for version, target in sorted(self.targets.items())},
            "quarantines": self.quarantines,
            "lifts": {version: lift.as_dict() for version, lift in self.lifts.items()},
            "pedigrees": {version: pedigree.as_dict() for version, pedigree in self.pedigrees.items()},
            "tenures": self.tenures.kept,
            "history": self.history,
            "incarnations": self.incarnations,
            "frozen": self.frozen,
            "automatic_left": self.automatic_left,
            "active_since_ns": self.active_since_ns,
            "probation_since_ns": self.probation_since_ns,
            "drill": self.drill,
            "baseline": self.baseline,
            "last_switch": self.last_switch,
            "incidents": self.incidents,
            "switches": self.switches,
            "proposals": self.proposals.as_dict(),
            "criteria": self.criteria.known,
        }
        return deepcopy(told)
