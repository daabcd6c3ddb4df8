"""The state of one service: its versions, their states and history, quarantine, freeze, baseline. The fold of its journal.

`apply` is the only way to change it, and it takes only entries, so a start that applies the journal restores the same state. An
illegal entry raises and changes nothing. A fact that changes roles has the new state of every version that it changes, so its
meaning does not depend on earlier entries (facts/versions.py).

Entries of older releases have slots, too (`slot`, `incarnation` in target). They mean nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy, deepcopy
from dataclasses import replace
from hashlib import sha256
from heapq import nsmallest
from typing import Any, Final

import orjson

from router.errors import InternalError, Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts import automation, drills, router_itself, switches, versions
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.evidence_time import in_memory
from router.rollout.facts.versions import VersionFact
from router.rollout.incidents.incident import confirmed, incidents_after
from router.rollout.machine.added_criteria import AddedCriteria
from router.rollout.machine.roles import Roles
from router.rollout.model.identity import Identity
from router.rollout.model.rewrite import NO_REWRITE
from router.rollout.model.route import first_generation
from router.rollout.model.target import ROLES, State, Target
from router.rollout.proposals.proposal import Proposals
from router.rollout.versions.active_periods import ActivePeriods
from router.rollout.versions.provenance import Provenance, provenances_after
from router.rollout.versions.quarantine import TemporaryRelease, lifted

HISTORY_MAX: Final = 100
"""Lines of one version. Active periods are kept apart (versions/active_periods.py)."""

RETIRED_MAX: Final = 500
"""Versions that no router serves and that are kept."""

_CHANGED_IN_PLACE: Final = (
    *("quarantines", "temporary_releases", "identities", "active_periods", "history", "switches", "proposals"),
    "criteria",
)
"""Members that `apply` changes; it replaces all others."""

_NO_STATE: Final = ("changes", "_roles")
"""Members that follow from the others, or count the entries."""

_STAMPS: Final = frozenset(
    {"since_ns", "active_since_ns", "probation_since_ns", "until_ns", "deadline_ns", "evidence_since_ns"}
)
"""Members of `as_dict` on the monotonic clock of this router."""


_FOLDS: Final = (ActivePeriods, AddedCriteria, Proposals)


class Registry:
    """The state of one service. Read its members; only `apply` changes it."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.generation = 0
        """That of the present route: of the newest entry that publishes one, or the first of this boot."""
        self.recorded_generation = 0
        """The newest that an entry publishes."""
        self.changes = 0
        """Grows with every entry: what follows from the state alone is found anew only then."""
        self._targets: dict[str, Target] = {}
        self._roles: Roles | None = None
        self.quarantines: dict[str, dict[str, Any]] = {}
        self.temporary_releases: dict[str, TemporaryRelease] = {}
        """Versions whose quarantine is lifted for a time."""
        self.provenances: dict[str, Provenance] = {}
        self.identities: dict[str, Identity] = {}
        """What the probe of a version answered when it was verified. A version that moved has none until it is probed again."""
        self.active_periods = ActivePeriods()
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.frozen: dict[str, Any] | None = None
        self.automatic_left = False
        """Whether automation may still roll back the present promotion: at most once."""
        self.active_since_ns = 0
        self.probation_since_ns = 0
        """Promotion of the active version (monotonic); a drill starts no new probation."""
        self.baseline: dict[str, Any] | None = None
        self.last_switch: dict[str, Any] | None = None
        self.incidents: list[dict[str, Any]] = []
        self.drill: dict[str, Any] | None = None
        """Data of the running drill of mode `real`; `away`: the standby serves."""
        self.switches: dict[str, int] = {}
        """Number of switches by cause: `operator`, `verdict`."""
        self.proposals = Proposals(service)
        self.criteria = AddedCriteria()

    # -- reading
    @property
    def targets(self) -> Mapping[str, Target]:
        """The versions by name, in the order of their arrival."""
        return self._targets

    @property
    def roles(self) -> Roles:
        """Which version has which state."""
        if self._roles is None:
            self._roles = Roles(self._targets)
        return self._roles

    def of_state(self, state: State) -> Target | None:
        """Return the version in `state`; a role has at most one."""
        return self.roles.by_state.get(state)

    @property
    def active(self) -> Target | None:
        """The version that serves, or None."""
        return self.roles.active

    @property
    def standby(self) -> Target | None:
        """The target of a rollback, or None."""
        return self.roles.standby

    @property
    def candidate(self) -> Target | None:
        """The version that was deployed to become active, or None."""
        return self.roles.candidate

    @property
    def freeze_text(self) -> str:
        """The actor of the freeze and the reason, if one was given."""
        frozen = self.frozen or {"actor": "", "reason": ""}
        return f"frozen by {frozen['actor']}" + (f": {frozen['reason']}" if frozen["reason"] else "")

    def known(self, version: str) -> Target:
        """Return the target of `version`; raise Refusal that names the known versions."""
        target = self.targets.get(version)
        if target is None:
            names = ", ".join(sorted(self.targets)[:20]) or "none"
            raise Refusal(
                RefusalCode.VERSION_UNKNOWN, f"service {self.service} has no version {version!r}; its versions: {names}"
            )
        return target

    def quarantine_of(self, version: str, now_ns: int) -> dict[str, Any] | None:
        """Return the quarantine that blocks `version` now, also one that has returned and is not journalled yet."""
        if (quarantine := self.quarantines.get(version)) is not None:
            return quarantine
        release = self.temporary_releases.get(version)
        return release.quarantine if release is not None and release.is_over(now_ns) else None

    def missing_standby(self) -> str | None:
        """Return why no rollback is possible according to roles and quarantines; None if it is possible."""
        if self.active is None:
            return "there is no active version"
        if self.standby is None:
            away = self.of_state(State.UNREACHABLE)
            return f"{away.version} is unreachable since it was rolled back" if away else "there is no standby"
        if (quarantine := self.quarantines.get(self.standby.version)) is not None:
            return f"{self.standby.version} is quarantined: {quarantine['reason']}"
        return None

    @property
    def in_drill(self) -> bool:
        """Whether a drill has swapped the roles."""
        return self.drill is not None and bool(self.drill["away"])

    # -- the fold
    def apply(self, entry: Entry) -> None:
        """Apply one entry; raise InternalError if it is illegal here: the state may be half changed then (use `after`)."""
        self.changes += 1
        fact = entry.fact
        if isinstance(fact, router_itself.Booted):
            self._boot(entry)
            self.proposals.apply(entry)
            return
        before = self._targets
        if isinstance(fact, VersionFact):
            self._change_versions(entry, fact)
        self.provenances = provenances_after(self.provenances, entry)
        match fact:
            case router_itself.ServiceAdded():
                self._begin_windows(entry)
            case automation.Frozen():
                self.frozen = {"actor": entry.actor, "reason": fact.reason, "at": entry.at}
            case automation.Unfrozen():
                self.frozen = None
            case versions.VersionAccepted():
                self._accept(fact)
            case versions.BaselineEstimated():
                self.baseline = fact.baseline
            case switches.Confirmed():
                self._confirmed(fact)
            case drills.DrillStarted() | drills.DrillSwitched() | drills.DrillEnded():
                self._drilled(entry, fact)
            case switches.SwitchFact():
                self._switched(entry, fact)
            case versions.Seeded() | switches.Recovered():
                self.automatic_left = fact.automatic_left is not False
                self._recover_roles(entry)
            case _:
                pass
        self.proposals.apply(entry)
        self.criteria.apply(entry)
        self.incidents = incidents_after(self.incidents, entry)
        if len(self._targets) > RETIRED_MAX and self._targets is not before:
            self._drop_retired()

    def _change_versions(self, entry: Entry, fact: VersionFact) -> None:
        """Apply what all facts about versions have in common. Most facts have nothing of it, and a start applies all."""
        if fact.states is not None or fact.target is not None or fact.bounded:
            targets = self._targets_after(entry, fact)
            self._place(targets, self._checked(targets))
            active = self.active
            self.active_periods.record(entry, active.version if active else None)
        self.recorded_generation = max(self.recorded_generation, route_generation(entry) or 0)
        self.generation = max(self.generation, self.recorded_generation)
        self._apply_quarantines(entry, fact)
        if isinstance(fact, versions.EndpointsMoved) and fact.target is not None:
            self.identities.pop(fact.target.version, None)
        self.identities.update(fact.identity)
        self._record_history(entry, fact)

    def _accept(self, fact: versions.VersionAccepted) -> None:
        target = self.targets.get(fact.version)
        if target is None:
            raise InternalError("journal_inconsistent", f"accepted: {fact.version} of {self.service} is not known")
        self._place({**self.targets, fact.version: replace(target, accepted=True)})
        self.baseline = fact.baseline

    def after(self, entries: Iterable[Entry]) -> Registry:
        """Return a copy to which `entries` are applied; raise InternalError if one is illegal. This registry stays as it is."""
        trial = self.snapshot()
        members = vars(trial)
        for name in _CHANGED_IN_PLACE:
            members[name] = copy(members[name])
        for entry in entries:
            trial.apply(entry)
        return trial

    def snapshot(self) -> Registry:
        """Return the state of now. `after` and `become` leave it as it is; `apply` on this registry may not."""
        other = Registry.__new__(Registry)
        vars(other).update(vars(self))
        return other

    def become(self, other: Registry) -> None:
        """Take the state of `other`, which `after` has returned."""
        vars(self).update(vars(other))

    def _place(self, targets: dict[str, Target], roles: Roles | None = None) -> None:
        self._targets, self._roles = targets, roles

    def _boot(self, entry: Entry) -> None:
        """A cold start: the roles stay; the monotonic clock and the generations start again."""
        self.generation = first_generation(entry.boot) + 1
        self._begin_windows(entry)
        self.temporary_releases = {
            version: release.rebooted(entry) for version, release in self.temporary_releases.items()
        }

    def _begin_windows(self, entry: Entry) -> None:
        """The counters of the workers begin at zero: nothing is in flight, and every wait counts from now on."""
        self.active_since_ns = self.probation_since_ns = entry.monotonic_ns
        # Nothing waits for a retired version, and most are.
        holding = {t.version: replace(t, since_ns=entry.monotonic_ns) for t in self.roles.holding}
        self._place({**self._targets, **holding})

    def _targets_after(self, entry: Entry, fact: VersionFact) -> dict[str, Target]:
        targets = dict(self.targets)
        if (placed := fact.target) is not None:
            targets[placed.version] = self._placed(targets.get(placed.version), placed, entry, fact)
        for version, state in fact.new_states.items():
            known = self._known_in(targets, version, entry)
            if known.state is not state:
                change = known.forced if fact.forced else known.moved
                targets[version] = change(state, at=entry.at, at_ns=entry.monotonic_ns)
        for version in fact.bounded:
            targets[version] = replace(self._known_in(targets, version, entry), bounded=True)
        if isinstance(fact, router_itself.Drained):
            for version in fact.versions:
                known = self._known_in(targets, version, entry)
                targets[version] = replace(known, drained=known.state is State.FAILED)
        if isinstance(fact, versions.Deployed) and placed is not None:
            targets[placed.version] = replace(targets[placed.version], deployment=fact.generation or 0)
        return targets

    def _known_in(self, targets: Mapping[str, Target], version: str, entry: Entry) -> Target:
        if (known := targets.get(version)) is None:
            raise InternalError("journal_inconsistent", f"{entry.type}: {version} of {self.service} is not known")
        return known

    def _placed(self, known: Target | None, placed: versions.Placement, entry: Entry, fact: VersionFact) -> Target:
        if known is not None:
            rewrite = known.rewrite if placed.rewrite is None else placed.rewrite
            return replace(known, endpoints=placed.endpoints, rewrite=rewrite)
        state = fact.new_states.get(placed.version)
        if state is None:
            raise InternalError(
                "journal_inconsistent", f"{entry.type}: {placed.version} of {self.service} has no state"
            )
        rewrite = placed.rewrite or NO_REWRITE
        return Target(placed.version, placed.endpoints, state, entry.monotonic_ns, entry.at, rewrite=rewrite)

    def _checked(self, targets: dict[str, Target]) -> Roles:
        """Return the roles of `targets`; raise InternalError for two versions in one role."""
        found = Roles(targets)
        roles = [ROLES[target.state] for target in found.placed if target.state in ROLES]
        if len(set(roles)) < len(roles):
            data = {target.version: target.state.value for target in targets.values()}
            raise InternalError("roles_inconsistent", f"{self.service}: {data}")
        return found

    def _apply_quarantines(self, entry: Entry, fact: VersionFact) -> None:
        for version, quarantine in fact.quarantine.items():
            self.temporary_releases.pop(version, None)
            self.quarantines[version] = {"at": entry.at, "actor": entry.actor, **quarantine}
        for version in fact.released:
            release = self.temporary_releases.pop(version, None)
            lifted_quarantine = self.quarantines.pop(version, release.quarantine if release else None)
            after_s = fact.lifted_for_s.get(version)
            if lifted_quarantine is not None and after_s is not None:
                self.temporary_releases[version] = lifted(lifted_quarantine, entry, after_s)

    def _switched(self, entry: Entry, fact: switches.SwitchFact) -> None:
        rollback = fact if isinstance(fact, switches.RolledBack) else None
        automatic = rollback is not None and rollback.automatic
        if rollback is None:
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
            "from": fact.left,
            "to": fact.to,
            "cause": cause,
            "actor": entry.actor,
            "reason": fact.reason,
            "generation": fact.generation,
            "swap_us": None,
            "confirmed_ms": None,
            "trigger": in_memory(rollback.trigger, entry.monotonic_ns) if rollback is not None else None,
        }

    def _recover_roles(self, entry: Entry) -> None:
        """A seed, or roles recovered from shared memory. Of a drill, shared memory only has the serving version."""
        self.active_since_ns = entry.monotonic_ns
        if self.drill is None:
            self.probation_since_ns = entry.monotonic_ns
        elif self.active is not None:
            self.drill = {**self.drill, "away": self.active.version == self.drill["to"]}

    def _drilled(self, entry: Entry, fact: drills.DrillStarted | drills.DrillSwitched | drills.DrillEnded) -> None:
        """A drill changes which version serves and since when; it is no switch and starts no probation."""
        if isinstance(fact, drills.DrillStarted):
            plan = {**fact.to_data(), "actor": entry.actor, "away": False}
            self.drill = plan if fact.mode == "real" else self.drill
        elif isinstance(fact, drills.DrillSwitched):
            self.active_since_ns = entry.monotonic_ns
            if self.drill is not None:
                self.drill = {**self.drill, "away": not fact.home}
        elif self.drill is not None and self.drill["drill"] == fact.drill:
            if self.drill["away"]:  # the roles stay swapped: the serving version goes on probation
                self.probation_since_ns = self.active_since_ns
            self.drill = None

    def _confirmed(self, fact: switches.Confirmed) -> None:
        if self.last_switch and self.last_switch["generation"] == fact.generation:
            self.last_switch = confirmed(self.last_switch, fact)

    def _record_history(self, entry: Entry, fact: VersionFact) -> None:
        """Add a line to the history of each version that the fact changes."""
        touched = {*fact.new_states, *fact.quarantine, *fact.released}
        if fact.target is not None:
            touched.add(fact.target.version)
        for version in touched:
            line = {"at": entry.at, "event": entry.type, "actor": entry.actor}
            line |= {"state": fact.new_states[version].value} if version in fact.new_states else {}
            line |= {"reason": fact.reason} if fact.reason else {}
            line |= {"incident": fact.incident} if fact.incident else {}
            self.history[version] = [*self.history.get(version, ()), line][-HISTORY_MAX:]

    def _drop_retired(self) -> None:
        """Drop the versions that were retired first beyond `RETIRED_MAX`, accepted ones last, quarantined ones never."""
        targets = dict(self._targets)
        kept = {target.version for target in self.roles.holding}
        kept |= targets.keys() & (self.quarantines.keys() | self.temporary_releases.keys())
        if len(targets) - len(kept) <= RETIRED_MAX:
            return
        gone = [target for target in targets.values() if target.version not in kept]
        self.provenances = dict(self.provenances)
        for target in nsmallest(len(gone) - RETIRED_MAX, gone, key=lambda t: (t.accepted, t.since)):
            del targets[target.version]
            self.history.pop(target.version, None)
            self.provenances.pop(target.version, None)
            self.identities.pop(target.version, None)
        self._place(targets)

    def equals(self, other: Registry) -> bool:
        """Return whether the states are equal. Members that a fold has left alone are the same objects, so this is quick."""
        members, others = vars(self), vars(other)
        return all(_equal(value, others[name]) for name, value in members.items() if name not in _NO_STATE)

    def digest(self) -> str:
        """Return the SHA-256 of the state without what is this router's own: stamps, and the generation of its start.

        Two folds of the same entries have the same digest; restarts in between change nothing of it.
        """
        state = {**self.as_dict(), "generation": self.recorded_generation}
        state["proposals"]["muted"] = {cause: until[:2] for cause, until in state["proposals"]["muted"].items()}
        return sha256(orjson.dumps(_without_stamps(state), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return a copy of the state as plain data, for comparison."""
        data = {
            "service": self.service,
            "generation": self.generation,
            "targets": {version: target.as_dict() for version, target in sorted(self.targets.items())},
            "quarantines": self.quarantines,
            "temporary_releases": {version: release.as_dict() for version, release in self.temporary_releases.items()},
            "provenances": {version: provenance.as_dict() for version, provenance in self.provenances.items()},
            "identities": {version: identity.as_dict() for version, identity in self.identities.items()},
            "active_periods": self.active_periods.kept,
            "history": self.history,
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
        return deepcopy(data)


def _without_stamps(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_stamps(member) for name, member in value.items() if name not in _STAMPS}
    return [_without_stamps(item) for item in value] if isinstance(value, list | tuple) else value


def _equal(value: Any, other: Any) -> bool:
    return value is other or (vars(value) == vars(other) if isinstance(value, _FOLDS) else value == other)
