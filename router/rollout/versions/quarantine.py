"""A quarantine that a person has lifted for a while: what the mark was, and when it comes back by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from router.rollout.model.entry import Entry


@dataclass(frozen=True, slots=True)
class TemporaryRelease:
    """`quarantine` is `{reason, incident, actor, at}` as it was; `actor`, `reason` and `at` tell who lifted it, why and when.

    `until` is when it comes back on the wall clock (seconds), for people and for later boots; `until_ns` is the same on the
    clock of decisions within this boot, so that a stepped wall clock moves nothing.
    """

    quarantine: dict[str, Any]
    actor: str
    reason: str
    at: float
    until: float
    until_ns: int

    def over(self, now_ns: int) -> bool:
        """Whether the mark is back."""
        return now_ns >= self.until_ns

    def rebooted(self, entry: Entry) -> TemporaryRelease:
        """Return it on the clock of the boot that `entry` begins."""
        left_s = max(0.0, self.until - entry.at)
        return replace(self, until_ns=entry.monotonic_ns + int(left_s * 1e9))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def lifted(quarantine: dict[str, Any], entry: Entry, after_s: float) -> TemporaryRelease:
    """Return the lift that `entry` tells of: for `after_s` from then on."""
    reason = entry.data.get("reason") or (entry.data.get("override") or {}).get("reason") or ""
    actor = (entry.data.get("override") or {}).get("actor") or entry.actor
    return TemporaryRelease(
        quarantine, actor, reason, entry.at, entry.at + after_s, entry.monotonic_ns + int(after_s * 1e9)
    )
