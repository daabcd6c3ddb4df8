"""The timelines of all incidents: the fold of the journal.

A timeline begins at the promotion before the rollback. It ends with the next switch of the service, which is its last line, or
after FOLLOWED_S. Edits of the incident by operators are added at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from router.rollout.incidents.incident import opens
from router.rollout.incidents.timeline_text import TimelineEntry, describe
from router.rollout.model import entry as entry_types
from router.rollout.model.entry import SWITCHES, Entry

LINES_MAX: Final = 200
"""Lines of one timeline. The first and the newest lines are kept."""
_FIRST_KEPT: Final = 20
FOLLOWED_S: Final = 3600.0
"""Later entries are not about this rollback, and each would cause its files to be written again."""
INCIDENTS_MAX: Final = 200
"""Timelines of all services that are kept; the oldest is dropped first."""
_OMITTED: Final = frozenset({entry_types.BASELINE, entry_types.ABANDONED, entry_types.IMPORTED})


@dataclass(slots=True)
class Lines:
    """At most LINES_MAX lines, oldest first. `left_out` lines after the first ones were dropped."""

    kept: list[TimelineEntry] = field(default_factory=list)
    left_out: int = 0

    def add(self, line: TimelineEntry) -> None:
        """Add a line."""
        self.kept.append(line)
        if len(self.kept) > LINES_MAX:
            del self.kept[_FIRST_KEPT]
            self.left_out += 1

    def copy(self) -> Lines:
        """Return an independent copy."""
        return Lines(list(self.kept), self.left_out)


@dataclass(slots=True)
class Timeline:
    """The timeline of one rollback. `opening` is its entry. `closed`: it has ended, and only edits by operators are added."""

    incident: str
    opening: Entry
    lines: Lines
    promoted: TimelineEntry | None = None
    """The promotion of the failed version; None if it is not in the journal."""
    confirmed: dict[str, Any] | None = None
    closed: bool = False

    @property
    def service(self) -> str:
        """The service of the rollback."""
        return self.opening.service

    @property
    def ends(self) -> tuple[str | None, str | None]:
        """The failed version and the standby."""
        return self.opening.data.get("from"), self.opening.data.get("to")


@dataclass(slots=True)
class _Service:
    recent: Lines = field(default_factory=Lines)
    promoted: TimelineEntry | None = None
    timeline: Timeline | None = None


class Timelines:
    """The timelines of all incidents, by incident id."""

    def __init__(self) -> None:
        self.timelines: dict[str, Timeline] = {}
        self._services: dict[str, _Service] = {}

    def apply(self, entry: Entry) -> set[str]:
        """Apply one entry; return the incidents whose timeline has changed."""
        if entry.type == entry_types.INCIDENT_EDITED:
            return self._edited(entry)
        if entry.type in _OMITTED:
            return set()
        if not entry.service:
            return set().union(*(self._entries_of(known, entry) for known in self._services.values()))
        service = self._services.setdefault(entry.service, _Service())
        changed = self._entries_of(service, entry)
        if opens(entry):
            changed |= self._opened(service, entry)
        elif entry.type in SWITCHES:
            _restart(service, entry)
        if entry.type == entry_types.SEEDED and "active" in entry.data.get("states", {}).values():
            service.promoted = describe(entry)
        return changed

    def _entries_of(self, service: _Service, entry: Entry) -> set[str]:
        line, timeline = describe(entry), service.timeline
        service.recent.add(line)
        if timeline is not None and entry.at - timeline.opening.at > FOLLOWED_S:
            timeline.closed = True
        if timeline is None or timeline.closed:
            return set()
        timeline.lines.add(line)
        if entry.type == entry_types.CONFIRMED and entry.data.get("generation") == timeline.opening.data.get(
            "generation"
        ):
            timeline.confirmed = entry.data
        timeline.closed = entry.type in SWITCHES or opens(entry)
        return {timeline.incident}

    def _opened(self, service: _Service, entry: Entry) -> set[str]:
        incident = entry.data["incident"]
        service.timeline = Timeline(incident, entry, service.recent.copy(), service.promoted)
        self.timelines[incident] = service.timeline
        while len(self.timelines) > INCIDENTS_MAX:
            del self.timelines[next(iter(self.timelines))]
        _restart(service, entry)
        return {incident}

    def _edited(self, entry: Entry) -> set[str]:
        timeline = self.timelines.get(entry.data["incident"])
        if timeline is None:
            return set()
        timeline.lines.add(describe(entry))
        return {timeline.incident}


def _restart(service: _Service, entry: Entry) -> None:
    service.promoted = describe(entry)
    service.recent = Lines([service.promoted])
