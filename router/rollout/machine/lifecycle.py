"""Decides the effects of probes and time: verified, failed, standby restored, drained, cut, quarantine returned."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router.rollout.facts.record import Command, Record
from router.rollout.facts.router_itself import DrainCut, Drained
from router.rollout.facts.switches import StandbyRestored
from router.rollout.facts.versions import Failed, Identified, Verified
from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.probe_streaks import ProbeStreaks
from router.rollout.machine.registry import Registry
from router.rollout.machine.version_rules import VersionRules
from router.rollout.model import events as ev
from router.rollout.model.target import PLACED, State, Target
from router.rollout.units import SECOND_NS

_IN_SERVICE: Final = frozenset({State.ACTIVE, State.STANDBY})
_WAITING: Final = frozenset({State.STANDBY, State.UNREACHABLE})


class Lifecycle:
    """Rules over one registry; `generation` is that of the next route, `cuts` holds the drains that were cut."""

    def __init__(
        self,
        registry: Registry,
        streaks: ProbeStreaks,
        limits: RolloutLimits,
        generation: int,
        cuts: set[tuple[str, int]],
    ) -> None:
        self.limits = limits
        self._registry = registry
        self._streaks = streaks
        self._generation = generation
        self._cuts = cuts

    def probed(self, event: ev.ProbeCompleted) -> list[Command]:
        """Record a probe; return the commands that its streak causes."""
        target = self._registry.targets.get(event.version)
        if target is None or target.state not in PLACED:
            return []
        self._streaks.record(self._compared(event, target))
        streak = self._streaks.fewest_good(target)
        if target.state is State.VERIFYING and streak >= self.limits.warmup_probes:
            return [self._verified(target, streak)]
        restorable = target.state is State.UNREACHABLE and self._registry.standby is None
        if restorable and target.version not in self._registry.quarantines and streak >= self.limits.recover_probes:
            states = {target.version: State.STANDBY}
            fact = StandbyRestored(generation=self._generation, states=states, good_probes=streak)
            return [Record(fact, "control")]
        return self._identified(target)

    def _compared(self, event: ev.ProbeCompleted, target: Target) -> ev.ProbeCompleted:
        """Return the probe of a version that waits for a rollback as bad if another server than the verified one answers."""
        known = self._registry.identities.get(target.version)
        if known is None or event.identity is None or not event.ok or target.state not in _WAITING:
            return event
        difference = event.identity.difference(known)
        return replace(event, ok=False, detail=difference, identity=None) if difference is not None else event

    def _identified(self, target: Target) -> list[Command]:
        """Return the entry that keeps the identity of a version that was never verified: a seed, or an older journal's."""
        if target.state not in _IN_SERVICE:
            return []
        found = self._streaks.identity(target, self.limits.warmup_probes)
        known = self._registry.identities.get(target.version)
        if found is None or (known is not None and known.probe == found.probe):
            return []
        return [Record(Identified(version=target.version, identity={target.version: found}), "control")]

    def _verified(self, target: Target, streak: int) -> Record:
        states = {target.version: State.READY}
        found = self._streaks.identity(target, streak)
        identity = {target.version: found} if found is not None else {}
        return Record(Verified(states=states, good_probes=streak, identity=identity), "control")

    def ticked(self, event: ev.Ticked, now_ns: int) -> list[Command]:
        """Return the commands that are due now."""
        for version, release in self._registry.temporary_releases.items():
            if release.is_over(now_ns):
                return VersionRules(self._registry, self._generation).returned(version, release.quarantine)
        for target in self._registry.roles.awaited:
            if commands := self._due(target, event, now_ns):
                return commands
        return []

    def _due(self, target: Target, event: ev.Ticked, now_ns: int) -> list[Command]:
        """Return the commands that are due for one version: one change a tick; the next tick handles the rest."""
        age_s = (now_ns - target.since_ns) / SECOND_NS
        if target.state is State.VERIFYING and age_s > self.limits.verify_timeout_s:
            return self._verification_failed(target)
        if target.version in event.drained:
            states = {target.version: State.RETIRED} if target.state is State.DRAINING else {}
            return [Record(Drained(states=states, version=target.version, after_s=round(age_s, 3)), "control")]
        limit_s, cut = self.limits.rollback_drain_timeout_s, (target.version, target.since_ns)
        if target.bounded and limit_s is not None and age_s > limit_s and cut not in self._cuts:
            self._cuts.add(cut)
            return [Record(DrainCut(version=target.version, after_s=round(age_s, 3)), "control")]
        return []

    def _verification_failed(self, target: Target) -> list[Command]:
        why = self._streaks.detail(target.version) or "no probe was good often enough"
        reason = f"not ready after {self.limits.verify_timeout_s:g} s: {why}"
        states = {target.version: State.FAILED}
        return [Record(Failed(generation=self._generation, states=states, reason=reason), "control")]
