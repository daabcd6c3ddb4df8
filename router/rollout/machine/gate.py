"""Decides whether automation may roll back now: registry, probes and fault shares in, objections out."""

from __future__ import annotations

from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.pairs import vetoed
from router.rollout.machine.probe_streaks import ProbeStreaks
from router.rollout.machine.registry import Registry
from router.rollout.model.target import Target
from router.runtime.text.plurals import counted, plural


class RollbackGate:
    """Reads one registry and the probe streaks of its targets; changes nothing."""

    def __init__(self, registry: Registry, streaks: ProbeStreaks, limits: RolloutLimits) -> None:
        self.limits = limits
        self._registry = registry
        self._streaks = streaks

    def no_standby_reason(self) -> str | None:
        """Return why a rollback is impossible now: no standby, or its last probes all failed; None if it is possible."""
        if missing := self._registry.missing_standby():
            return missing
        standby = self._registry.standby
        if standby is not None and self._streaks.all_failing(standby):
            return f"the last probes of {standby.version} failed: {self._streaks.detail(standby.version)}"
        return None

    def _few_good(self, target: Target) -> str:
        """Return how many of several endpoints are good; empty for one endpoint."""
        good, known = self._streaks.good_endpoints(target), len(target.endpoints)
        return f" ({good} of {counted(known, 'endpoint')} {plural('is', good)} good)" if known > 1 else ""

    def objections(self, shares: tuple[float, float, int] | None = None) -> list[str]:
        """Return why automation may not roll back now; empty if it may (before the fresh inference probe).

        In a drill, freeze and `automatic_left` do not count: swapping back is part of the drill.
        """
        registry = self._registry
        if registry.in_drill:
            return self.swap_objections(shares)
        objections = []
        if registry.frozen:
            objections.append(registry.freeze_text)
        if not registry.automatic_left and not registry.missing_standby():
            objections.append("this promotion was rolled back once already; another one needs an operator")
        return objections + self.swap_objections(shares)

    def swap_objections(self, shares: tuple[float, float, int] | None = None) -> list[str]:
        """Return the objections to a swap to the standby, also for a drill; empty if there are none."""
        missing = self._registry.missing_standby()
        return [missing] if missing else self.standby_objections(shares)

    def standby_objections(self, shares: tuple[float, float, int] | None = None) -> list[str]:
        """Return the objections to the standby; empty if it is fit, or if there is no standby."""
        standby = self._registry.standby
        objections = []
        if standby is not None:
            good = self._streaks.most_good(standby, self.limits.gate_probes)
            if not good:
                objections.append(
                    f"the last {counted(self.limits.gate_probes, 'probe')} of {standby.version} were not all good: "
                    f"{self._streaks.detail(standby.version) or 'too few yet'}{self._few_good(standby)}"
                )
        if shares is not None and vetoed(shares):
            objections.append(
                f"both versions fail: {shares[0]:.0%} of the {counted(shares[2], 'request')} rescued there in 60 s failed too "
                f"(active: {shares[1]:.0%})"
            )
        return objections
