"""The timelines of all incidents: the fold of the journal.

A timeline begins at the promotion before the rollback. It ends with the next switch of the service, which is its last line, or
after FOLLOWED_S. Edits of the incident by operators are added at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from router.rollout.facts.entry import Entry
from router.rollout.facts.incidents import IncidentEdited
from router.rollout.facts.router_itself import Abandoned, Imported
from router.rollout.facts.switches import Confirmed, Recovered, RolledBack, SwitchFact
from router.rollout.facts.versions import BaselineEstimated, Seeded
from router.rollout.incidents.incident import rollback_in
from router.rollout.incidents.timeline_text import TimelineEntry, describe

LINES_MAX: Final = 200
"""Lines of one timeline. The first and the newest lines are kept."""
_FIRST_KEPT: Final = 20
FOLLOWED_S: Final = 3600.0
"""Later entries are not about this rollback, and each would cause its files to be written again."""
INCIDENTS_MAX: Final = 200
"""Timelines of all services that are kept; the oldest is dropped first."""
_OMITTED: Final = (BaselineEstimated, Abandoned, Imported)


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
    """The timeline of one rollback. `opening` is its entry, `rollback` the fact in it. `closed`: it has ended, and only edits by
    operators are added.
    """

    incident: str
    opening: Entry
    rollback: RolledBack | Recovered
    lines: Lines
    promoted: TimelineEntry | None = None
    """The promotion of the failed version; None if it is not in the journal."""
    confirmed: Confirmed | None = None
    closed: bool = False

    @property
    def service(self) -> str:
        """The service of the rollback."""
        return self.opening.service

    @property
    def ends(self) -> tuple[str | None, str | None]:
        """The failed version and the standby."""
        return self.rollback.left, self.rollback.to


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
        fact = entry.fact
        if isinstance(fact, IncidentEdited):
            return self._edited(fact, entry)
        if isinstance(fact, _OMITTED):
            return set()
        if not entry.service:
            return set().union(*(self._entries_of(known, entry) for known in self._services.values()))
        service = self._services.setdefault(entry.service, _Service())
        changed = self._entries_of(service, entry)
        if (rollback := rollback_in(fact)) is not None:
            changed |= self._opened(service, entry, rollback)
        elif isinstance(fact, SwitchFact):
            _restart(service, entry)
        if isinstance(fact, Seeded) and fact.activated is not None:
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
        fact = entry.fact
        if isinstance(fact, Confirmed) and fact.generation == timeline.rollback.generation:
            timeline.confirmed = fact
        timeline.closed = isinstance(fact, SwitchFact) or rollback_in(fact) is not None
        return {timeline.incident}

    def _opened(self, service: _Service, entry: Entry, rollback: RolledBack | Recovered) -> set[str]:
        incident = rollback.incident or ""
        service.timeline = Timeline(incident, entry, rollback, service.recent.copy(), service.promoted)
        self.timelines[incident] = service.timeline
        while len(self.timelines) > INCIDENTS_MAX:
            del self.timelines[next(iter(self.timelines))]
        _restart(service, entry)
        return {incident}

    def _edited(self, fact: IncidentEdited, entry: Entry) -> set[str]:
        timeline = self.timelines.get(fact.incident)
        if timeline is None:
            return set()
        timeline.lines.add(describe(entry))
        return {timeline.incident}


def _restart(service: _Service, entry: Entry) -> None:
    service.promoted = describe(entry)
    service.recent = Lines([service.promoted])
