"""What stands between a failing active version and its standby: why automation would not go back now."""

from __future__ import annotations

from router.rollout.machine.limits import RolloutLimits
from router.rollout.machine.probe_streaks import ProbeStreaks
from router.rollout.machine.registry import Registry


class RollbackGate:
    """Looks at one registry and at the probes of its targets; decides nothing else and changes nothing."""

    def __init__(self, registry: Registry, streaks: ProbeStreaks, limits: RolloutLimits) -> None:
        self.limits = limits
        self._registry = registry
        self._streaks = streaks

    def no_standby_reason(self) -> str | None:
        """Return why nobody could go back now: no standby, or one whose last probes all failed; None if one could."""
        if missing := self._registry.way_back():
            return missing
        standby = self._registry.standby
        if (
            standby is not None
            and standby.slot is not None
            and self._streaks.known_bad(standby.slot, standby.endpoints)
        ):
            return f"the last probes of {standby.version} failed: {self._streaks.detail(standby.slot)}"
        return None

    def objections(self, shares: tuple[float, float, int] | None = None) -> list[str]:
        """Return why automation would not go back now; empty if the gate would pass (but for the fresh inference probe).

        From a drill it may always go home: that is no further step, and what was asked for.
        """
        registry = self._registry
        if registry.rehearsing:
            return self.to_standby(shares)
        found = []
        if registry.frozen:
            found.append(f"frozen by {registry.frozen['actor']}: {registry.frozen['reason']}")
        if not registry.automatic_left and not registry.way_back():
            found.append("this promotion was rolled back once already; a further step needs a person")
        return found + self.to_standby(shares)

    def to_standby(self, shares: tuple[float, float, int] | None = None) -> list[str]:
        """Return why nobody should go to the standby, be it for an exercise; empty if the gate would pass."""
        missing = self._registry.way_back()
        return [missing] if missing else self.standby_objections(shares)

    def standby_objections(self, shares: tuple[float, float, int] | None = None) -> list[str]:
        """Return why the standby would be no better, whoever asks; empty if there is nothing against it, or none."""
        standby = self._registry.standby
        found = []
        if standby is not None and standby.slot is not None:
            good = self._streaks.gate(standby.slot, standby.endpoints, self.limits.gate_probes)
            if not good:
                found.append(
                    f"the last {self.limits.gate_probes} probes of {standby.version} were not all good: "
                    f"{self._streaks.detail(standby.slot) or 'too few yet'}"
                )
        # Without a fault there the standby is better, whatever the active version is blamed for (it may be slow only).
        if shares is not None and shares[2] >= self.limits.gate_shares_min and shares[0] >= max(shares[1] / 2, 1e-9):
            found.append(
                f"{shares[0]:.0%} of the {shares[2]} requests rescued there in 20 s failed too (active: {shares[1]:.0%})"
            )
        return found
