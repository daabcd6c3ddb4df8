"""Decides which versions and artifacts must be kept, and why; all others may be deleted. The router only reports this
and deletes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.rollout.machine.registry import Registry
from router.rollout.model.target import State

_IN_USE = {
    State.REGISTERED: "registered, not deployed yet",
    State.VERIFYING: "candidate",
    State.READY: "candidate",
    State.ACTIVE: "active",
    State.STANDBY: "standby",
    State.UNREACHABLE: "unreachable since it was rolled back; it may come back",
    State.DRAINING: "still serves what it has begun",
}


@dataclass(frozen=True, slots=True)
class Retained:
    """One version. `because`: the reasons to keep it; without a reason it may be deleted."""

    version: str
    artifact: str | None
    because: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"version": self.version, "artifact": self.artifact, "because": list(self.because)}


def retained(registry: Registry, keep_accepted: int, analysed_incidents: Iterable[str], now_s: float) -> list[Retained]:
    """Return every version of the service, the most recently active first.

    `analysed_incidents` are the ids of the incidents of which the root cause is known: a quarantined version is under analysis
    until that of its incident is, and one that was quarantined by hand until it is released.
    """
    live = registry.active_periods.last_live(now_s)
    closed = frozenset(analysed_incidents)
    accepted = [version for version, target in registry.targets.items() if target.accepted]
    last = sorted(accepted, key=lambda version: -live.get(version, 0.0))[:keep_accepted]
    found = []
    for version in sorted(registry.targets, key=lambda version: -live.get(version, 0.0)):
        because = [reason] if (reason := _IN_USE.get(registry.targets[version].state)) else []
        if version in last:
            because.append(f"one of the last {keep_accepted} accepted versions")
        because += _analysis(registry, version, closed)
        provenance = registry.provenances.get(version)
        found.append(Retained(version, provenance.artifact if provenance else None, tuple(because)))
    return found


def _analysis(registry: Registry, version: str, closed: frozenset[str]) -> list[str]:
    release = registry.temporary_releases.get(version)
    quarantine = registry.quarantines.get(version) or (release.quarantine if release else None)
    if quarantine is None or quarantine["incident"] in closed:
        return []
    if quarantine["incident"] is None:
        return [f"quarantined by {quarantine['actor']} without an incident"]
    return [f"quarantined, and the root cause of incident {quarantine['incident']} is not known"]


def deletable(all_of_them: Iterable[Retained]) -> list[str]:
    """Return the artifacts that no version keeps, sorted; `all_of_them` are the versions of every service, for two may share
    one.
    """
    versions = list(all_of_them)
    kept = {version.artifact for version in versions if version.because}
    return sorted({v.artifact for v in versions if v.artifact is not None and v.artifact not in kept})
