"""The state of one service: its versions, their states and history, quarantine, freeze, baseline. The fold of its journal.

`apply` is the only way to change it, and it takes only entries, so a start that applies the journal restores the same state. An
illegal entry raises and changes nothing. An entry that changes roles has the new state of every version that it changes, so
its meaning does not depend on earlier entries.

    data member    meaning
    generation     the route that goes with it, if there are states
    states         {version: new state}, empty if only the route is new
    base           the generation on which the decision was made
    target         {version, endpoints}: a version that came in, or moved; `rewrite` if that changed
    bounded        versions whose drain is cut after rollback_drain_timeout_s
    quarantine     {version: {reason, incident}}; one that returns has its `actor` and `at`, too
    release        versions released from quarantine
    lifted_for_s   {version: seconds} of those whose quarantine returns
    artifact, source  origin of the version of `target`
    identity       {version: identity} of a version whose probe was answered well (model/identity.py)
    forced         true: the states are not checked (shared memory that outlived control; an assumption of the operator)

Entries of older releases have slots, too (`slot`, `incarnation` in target, `freed` in drained). They mean nothing here.
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
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.incidents.incident import confirmed, incidents_after
from router.rollout.machine.added_criteria import AddedCriteria
from router.rollout.machine.roles import Roles
from router.rollout.model import entry as entry_types
from router.rollout.model.entry import SWITCHES
from router.rollout.model.identity import Identity, from_dict
from router.rollout.model.rewrite import from_dict as rewrite_of
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

_MOVING: Final = frozenset({"states", "target", "bounded"})
"""Members of entries that change targets. A start applies all entries; most have none of these and are cheaper."""

_ROLES_ONCE: Final = ("active", "standby", "candidate")

_CHANGED_IN_PLACE: Final = (
    *("quarantines", "temporary_releases", "identities", "active_periods", "history", "switches", "proposals"),
    "criteria",
)
"""Members that `apply` changes; it replaces all others."""

_STAMPS: Final = frozenset({"since_ns", "active_since_ns", "probation_since_ns", "until_ns", "deadline_ns"})
"""Members of `as_dict` on the monotonic clock of this router."""


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
        if entry.type == entry_types.BOOT:
            self._boot(entry)
            self.proposals.apply(entry)
            return
        moved = entry.type == entry_types.ACCEPTED or not _MOVING.isdisjoint(entry.data)
        if moved:
            targets = self._targets_after(entry)
            self._check(targets)
            self._place(targets)
            active = self.active
            self.active_periods.record(entry, active.version if active else None)
        self._apply_quarantines(entry)
        self.provenances = provenances_after(self.provenances, entry)
        self._identify(entry)
        match entry.type:
            case entry_types.SERVICE_ADDED:
                self._begin_windows(entry)
            case entry_types.FROZEN:
                self.frozen = {"actor": entry.actor, "reason": entry.data["reason"], "at": entry.at}
            case entry_types.UNFROZEN:
                self.frozen = None
            case entry_types.BASELINE | entry_types.ACCEPTED:
                self.baseline = entry.data["baseline"]
            case entry_types.CONFIRMED:
                self._confirmed(entry)
            case entry_types.DRILL_STARTED | entry_types.DRILL_SWITCHED | entry_types.DRILL_ENDED:
                self._drilled(entry)
            case _ if entry.type in SWITCHES:
                self._switched(entry)
            case entry_types.SEEDED | entry_types.RECOVERED:
                self.automatic_left = entry.data.get("automatic_left", True)
                self._recover_roles(entry)
            case _:
                pass
        self.proposals.apply(entry)
        self.criteria.apply(entry)
        self.incidents = incidents_after(self.incidents, entry)
        self._record_history(entry)
        if moved and len(self.targets) > RETIRED_MAX:
            self._drop_retired()

    def after(self, entries: Iterable[Entry]) -> Registry:
        """Return a copy to which `entries` are applied; raise InternalError if one is illegal. This registry stays as it is."""
        trial = copy(self)
        for name in _CHANGED_IN_PLACE:
            setattr(trial, name, copy(getattr(self, name)))
        for entry in entries:
            trial.apply(entry)
        return trial

    def become(self, other: Registry) -> None:
        """Take the state of `other`, which `after` has returned."""
        vars(self).update(vars(other))

    def _place(self, targets: dict[str, Target]) -> None:
        # The fold of a long journal asks for roles less often than it changes them.
        self._targets, self._roles = targets, None

    def _identify(self, entry: Entry) -> None:
        if entry.type == entry_types.MOVED:
            self.identities.pop(entry.data["target"]["version"], None)
        for version, identity in entry.data.get("identity", {}).items():
            self.identities[version] = from_dict(identity)

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
        self._place({version: replace(target, since_ns=entry.monotonic_ns) for version, target in self.targets.items()})

    def _targets_after(self, entry: Entry) -> dict[str, Target]:
        data = entry.data
        targets = dict(self.targets)
        states = {version: State(state) for version, state in data.get("states", {}).items()}
        if placed := data.get("target"):
            targets[placed["version"]] = self._placed(targets.get(placed["version"]), placed, states, entry)
        for version, state in states.items():
            known = targets.get(version)
            if known is None:
                raise InternalError("journal_inconsistent", f"{entry.type}: {version} of {self.service} is not known")
            if known.state is not state:
                change = known.forced if data.get("forced") else known.moved
                targets[version] = change(state, at=entry.at, at_ns=entry.monotonic_ns)
        for version in data.get("bounded", ()):
            targets[version] = replace(targets[version], bounded=True)
        if entry.type == entry_types.DRAINED:
            for version in data.get("freed") or [data["version"]]:
                targets[version] = replace(targets[version], drained=targets[version].state is State.FAILED)
        if entry.type == entry_types.DEPLOYED:
            version = data["target"]["version"]
            targets[version] = replace(targets[version], deployment=data["generation"])
        if entry.type == entry_types.ACCEPTED:
            targets[data["version"]] = replace(targets[data["version"]], accepted=True)
        return targets

    def _placed(self, known: Target | None, placed: dict[str, Any], states: dict[str, State], entry: Entry) -> Target:
        endpoints = tuple(placed["endpoints"])
        if known is not None:
            rewrite = rewrite_of(placed["rewrite"]) if "rewrite" in placed else known.rewrite
            return replace(known, endpoints=endpoints, rewrite=rewrite)
        return Target(
            placed["version"],
            endpoints,
            states[placed["version"]],
            entry.monotonic_ns,
            entry.at,
            rewrite=rewrite_of(placed.get("rewrite", {})),
        )

    def _check(self, targets: dict[str, Target]) -> None:
        """Raise InternalError for two versions in one role."""
        roles = [ROLES[target.state] for target in targets.values() if target.state in ROLES]
        if any(roles.count(role) > 1 for role in _ROLES_ONCE):
            data = {target.version: target.state.value for target in targets.values()}
            raise InternalError("roles_inconsistent", f"{self.service}: {data}")

    def _apply_quarantines(self, entry: Entry) -> None:
        data = entry.data
        self.recorded_generation = max(self.recorded_generation, route_generation(entry) or 0)
        self.generation = max(self.generation, self.recorded_generation)
        for version, quarantine in data.get("quarantine", {}).items():
            self.temporary_releases.pop(version, None)
            self.quarantines[version] = {"at": entry.at, "actor": entry.actor, **quarantine}
        for version in data.get("release", ()):
            release = self.temporary_releases.pop(version, None)
            quarantine = self.quarantines.pop(version, release.quarantine if release else None)
            after_s = data.get("lifted_for_s", {}).get(version)
            if quarantine is not None and after_s is not None:
                self.temporary_releases[version] = lifted(quarantine, entry, after_s)

    def _switched(self, entry: Entry) -> None:
        data = entry.data
        automatic = bool(data.get("automatic"))
        if entry.type != entry_types.ROLLED_BACK:
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

    def _recover_roles(self, entry: Entry) -> None:
        """A seed, or roles recovered from shared memory. Of a drill, shared memory only has the serving version."""
        self.active_since_ns = entry.monotonic_ns
        if self.drill is None:
            self.probation_since_ns = entry.monotonic_ns
        elif self.active is not None:
            self.drill = {**self.drill, "away": self.active.version == self.drill["to"]}

    def _drilled(self, entry: Entry) -> None:
        """A drill changes which version serves and since when; it is no switch and starts no probation."""
        data = entry.data
        if entry.type == entry_types.DRILL_STARTED:
            self.drill = {**data, "actor": entry.actor, "away": False} if data["mode"] == "real" else self.drill
        elif entry.type == entry_types.DRILL_SWITCHED:
            self.active_since_ns = entry.monotonic_ns
            if self.drill is not None:
                self.drill = {**self.drill, "away": not data["home"]}
        elif self.drill is not None and self.drill["drill"] == data["drill"]:
            if self.drill["away"]:  # the roles stay swapped: the serving version goes on probation
                self.probation_since_ns = self.active_since_ns
            self.drill = None

    def _confirmed(self, entry: Entry) -> None:
        generation = entry.data["generation"]
        if self.last_switch and self.last_switch["generation"] == generation:
            self.last_switch = confirmed(self.last_switch, entry)

    def _record_history(self, entry: Entry) -> None:
        """Add a line to the history of each version that the entry changes."""
        data = entry.data
        touched = {*data.get("states", {}), *data.get("quarantine", {}), *data.get("release", ())}
        if placed := data.get("target"):
            touched.add(placed["version"])
        for version in touched:
            line = {"at": entry.at, "event": entry.type, "actor": entry.actor}
            line |= {"state": data["states"][version]} if version in data.get("states", {}) else {}
            line |= {name: data[name] for name in ("reason", "incident") if data.get(name)}
            self.history[version] = [*self.history.get(version, ()), line][-HISTORY_MAX:]

    def _drop_retired(self) -> None:
        """Drop the versions that were retired first beyond `RETIRED_MAX`, accepted ones last, quarantined ones never."""
        marked = self.quarantines.keys() | self.temporary_releases.keys()
        targets = dict(self._targets)
        gone = [t for t in targets.values() if not t.may_hold_slot and t.version not in marked]
        for target in nsmallest(len(gone) - RETIRED_MAX, gone, key=lambda t: (t.accepted, t.since)):
            del targets[target.version]
            self.history.pop(target.version, None)
            self.provenances.pop(target.version, None)
            self.identities.pop(target.version, None)
        self._place(targets)

    def digest(self) -> str:
        """Return the SHA-256 of the state without what is this router's own: stamps, and the generation of its start.

        Two folds of the same entries have the same digest, whatever restarts came in between.
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
