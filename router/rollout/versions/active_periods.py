"""What was live when: which version of a service was active, from when until when, through whom and why."""

from __future__ import annotations

from typing import Any, Final

from router.rollout.model.entry import Entry

TENURES_MAX: Final = 10_000
"""Of one service; the oldest are dropped beyond it, and counted. The journal keeps them all."""
REASON_CHARS_MAX: Final = 500


class ActivePeriods:
    """The tenures of one service, oldest first; the last one is open while a version is active.

    `since` and `until` are wall seconds; `until`, `ended` and `to` are None as long as it lasts. A restart ends none.
    """

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []
        self.dropped = 0

    @property
    def open(self) -> dict[str, Any] | None:
        """The tenure of the version that is active."""
        return self.kept[-1] if self.kept and self.kept[-1]["until"] is None else None

    def note(self, entry: Entry, active: str | None) -> None:
        """`active` is the active version after `entry`: if it is another one, a tenure ends and the next one begins."""
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
            "generation": entry.data.get("generation"),
            "begun": _cause(entry),
        }
        self.kept.append({**begun, "until": None, "ended": None, "to": None})
        if len(self.kept) > TENURES_MAX:
            self.dropped += len(self.kept) - TENURES_MAX
            del self.kept[:-TENURES_MAX]

    def of(self, version: str) -> list[dict[str, Any]]:
        """Return the tenures of one version, oldest first."""
        return [tenure for tenure in self.kept if tenure["version"] == version]

    def last_live(self, now_s: float) -> dict[str, float]:
        """Return when each version was active last (wall seconds); now for the one that is."""
        return {tenure["version"]: now_s if tenure["until"] is None else tenure["until"] for tenure in self.kept}


def _cause(entry: Entry) -> dict[str, Any]:
    """Who or what made the change, in the words of its entry; `verdict` is an actor like any other."""
    reason = entry.data.get("reason")
    return {
        "event": entry.type,
        "actor": entry.actor,
        "reason": str(reason)[:REASON_CHARS_MAX] if reason else None,
        "incident": entry.data.get("incident"),
    }
