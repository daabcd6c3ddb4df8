"""A quarantine that an operator has lifted for a time: the quarantine, and when it returns by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from router.rollout.facts.entry import Entry
from router.rollout.facts.versions import VersionFact


@dataclass(frozen=True, slots=True)
class TemporaryRelease:
    """`quarantine` is `{reason, incident, actor, at}` as it was; `actor`, `reason` and `at` are those of the release.

    `until` is its end on the wall clock (seconds), for display and for later boots. `until_ns` is the same on the monotonic
    clock of this boot, so a jump of the wall clock does not change it.
    """

    quarantine: dict[str, Any]
    actor: str
    reason: str
    at: float
    until: float
    until_ns: int

    def is_over(self, now_ns: int) -> bool:
        """Whether the quarantine has returned."""
        return now_ns >= self.until_ns

    def rebooted(self, entry: Entry) -> TemporaryRelease:
        """Return the release on the monotonic clock of the boot that `entry` begins."""
        left_s = max(0.0, self.until - entry.at)
        return replace(self, until_ns=entry.monotonic_ns + int(left_s * 1e9))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def lifted(quarantine: dict[str, Any], entry: Entry, after_s: float) -> TemporaryRelease:
    """Return the release by `entry` for `after_s` seconds."""
    fact = entry.fact
    override, reason = (fact.override, fact.reason) if isinstance(fact, VersionFact) else (None, "")
    reason = reason or (override.reason if override is not None else "")
    actor = override.actor if override is not None else entry.actor
    return TemporaryRelease(
        quarantine, actor, reason, entry.at, entry.at + after_s, entry.monotonic_ns + int(after_s * 1e9)
    )
