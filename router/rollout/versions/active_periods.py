"""The periods in which each version of a service was active, and the changes that began and ended them."""

from __future__ import annotations

from typing import Any, Final

from router.rollout.facts.entry import Entry
from router.rollout.facts.versions import VersionFact

ACTIVE_PERIODS_MAX: Final = 10_000
"""Periods of one service that are kept; older ones are dropped and counted. The journal keeps all."""
REASON_CHARS_MAX: Final = 500


class ActivePeriods:
    """The active periods of one service, oldest first; the last one is open while a version is active.

    `since` and `until` are wall seconds; `until`, `ended` and `to` are None while the period is open. A restart ends no period.
    """

    def __init__(self, kept_max: int = ACTIVE_PERIODS_MAX) -> None:
        self._kept_max = kept_max
        self.kept: list[dict[str, Any]] = []
        self.dropped = 0

    def __copy__(self) -> ActivePeriods:
        other = ActivePeriods(self._kept_max)
        other.kept, other.dropped = list(self.kept), self.dropped
        return other

    @property
    def open(self) -> dict[str, Any] | None:
        """The period of the active version, or None."""
        return self.kept[-1] if self.kept and self.kept[-1]["until"] is None else None

    def record(self, entry: Entry, active: str | None) -> None:
        """Record that `active` is the active version after `entry`: another version ends the period and begins a new one."""
        present = self.open
        if active == (present["version"] if present else None):
            return
        if present is not None:
            self.kept[-1] = {**present, "until": entry.at, "ended": _cause(entry), "to": active}
        if active is None:
            return
        begun = {
            "version": active,
            "since": entry.at,
            "generation": _generation(entry),
            "begun": _cause(entry),
        }
        self.kept.append({**begun, "until": None, "ended": None, "to": None})
        if len(self.kept) > self._kept_max:
            self.dropped += len(self.kept) - self._kept_max
            del self.kept[: -self._kept_max]

    def of(self, version: str) -> list[dict[str, Any]]:
        """Return the periods of one version, oldest first."""
        return [period for period in self.kept if period["version"] == version]

    def last_live(self, now_s: float) -> dict[str, float]:
        """Return the time at which each version was last active (wall seconds); `now_s` for the active version."""
        return {period["version"]: now_s if period["until"] is None else period["until"] for period in self.kept}


def _generation(entry: Entry) -> int | None:
    return entry.fact.generation if isinstance(entry.fact, VersionFact) else None


def _cause(entry: Entry) -> dict[str, Any]:
    """Return entry type, actor, reason and incident of a change; `verdict` is an actor, too."""
    fact = entry.fact
    reason = fact.reason if isinstance(fact, VersionFact) else None
    return {
        "event": entry.type,
        "actor": entry.actor,
        "reason": reason[:REASON_CHARS_MAX] if reason else None,
        "incident": fact.incident if isinstance(fact, VersionFact) else None,
    }
