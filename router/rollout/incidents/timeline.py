"""What happened around each rollback: the fold of the journal that an incident's timeline is read from.

An incident's story begins with what happened since the promotion before it, and goes on until the next switch of its
service, which is its last line, or for FOLLOWED_S; what people do to the incident is added at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from router.rollout.incidents.incident import opens
from router.rollout.incidents.timeline_text import TimelineEntry, describe
from router.rollout.model import entry as kinds
from router.rollout.model.entry import SWITCHES, Entry

LINES_MAX: Final = 200
"""Of one story. The first ones and the newest ones stay."""
_FIRST_KEPT: Final = 20
FOLLOWED_S: Final = 3600.0
"""What happens later to a service is no longer about this rollback, and would have its files written for ever."""
INCIDENTS_MAX: Final = 200
"""Stories that are kept, of all services; the oldest goes first."""
_UNTOLD: Final = frozenset({kinds.BASELINE, kinds.ABANDONED, kinds.IMPORTED})


@dataclass(slots=True)
class Lines:
    """At most LINES_MAX lines, oldest first. `left_out` of them stood behind the first ones."""

    kept: list[TimelineEntry] = field(default_factory=list)
    left_out: int = 0

    def add(self, told: TimelineEntry) -> None:
        """Take another line in."""
        self.kept.append(told)
        if len(self.kept) > LINES_MAX:
            del self.kept[_FIRST_KEPT]
            self.left_out += 1

    def copy(self) -> Lines:
        """Return lines that go their own way from here on."""
        return Lines(list(self.kept), self.left_out)


@dataclass(slots=True)
class Timeline:
    """One rollback. `opening` is the entry that tells it; `places` is (slot, incarnation) of the two versions, as far as
    known. `closed`: the next switch of the service has come, nothing but what people do is added.
    """

    incident: str
    opening: Entry
    lines: Lines
    places: dict[str, tuple[int, int]]
    promoted: TimelineEntry | None = None
    """When the version that failed had become active; None if the journal does not say."""
    confirmed: dict[str, Any] | None = None
    closed: bool = False

    @property
    def service(self) -> str:
        """The service that it happened to."""
        return self.opening.service

    @property
    def ends(self) -> tuple[str | None, str | None]:
        """The version that was left, and the one that was gone back to."""
        return self.opening.data.get("from"), self.opening.data.get("to")


@dataclass(slots=True)
class _Service:
    recent: Lines = field(default_factory=Lines)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    promoted: TimelineEntry | None = None
    story: Timeline | None = None


class Timelines:
    """The stories of all incidents, by incident."""

    def __init__(self) -> None:
        self.timelines: dict[str, Timeline] = {}
        self._services: dict[str, _Service] = {}

    def apply(self, entry: Entry) -> set[str]:
        """Fold one entry; return the incidents whose story it has changed."""
        if entry.type == kinds.INCIDENT_EDITED:
            return self._edited(entry)
        if entry.type in _UNTOLD:
            return set()
        if not entry.service:
            return set().union(*(self._entries_of(known, entry) for known in self._services.values()))
        service = self._services.setdefault(entry.service, _Service())
        if placed := entry.data.get("target"):
            if placed.get("slot") is not None:
                service.places[placed["version"]] = (placed["slot"], placed["incarnation"])
        changed = self._entries_of(service, entry)
        if opens(entry):
            changed |= self._opened(service, entry)
        elif entry.type in SWITCHES:
            _begin_anew(service, entry)
        if entry.type == kinds.SEEDED and "active" in entry.data.get("states", {}).values():
            service.promoted = describe(entry)
        return changed

    def _entries_of(self, service: _Service, entry: Entry) -> set[str]:
        told, story = describe(entry), service.story
        service.recent.add(told)
        if story is not None and entry.at - story.opening.at > FOLLOWED_S:
            story.closed = True
        if story is None or story.closed:
            return set()
        story.lines.add(told)
        if entry.type == kinds.CONFIRMED and entry.data.get("generation") == story.opening.data.get("generation"):
            story.confirmed = entry.data
        story.closed = entry.type in SWITCHES or opens(entry)
        return {story.incident}

    def _opened(self, service: _Service, entry: Entry) -> set[str]:
        incident = entry.data["incident"]
        ends = {entry.data.get("from"), entry.data.get("to")}
        places = {version: place for version, place in service.places.items() if version in ends}
        service.story = Timeline(incident, entry, service.recent.copy(), places, service.promoted)
        self.timelines[incident] = service.story
        while len(self.timelines) > INCIDENTS_MAX:
            del self.timelines[next(iter(self.timelines))]
        _begin_anew(service, entry)
        return {incident}

    def _edited(self, entry: Entry) -> set[str]:
        story = self.timelines.get(entry.data["incident"])
        if story is None:
            return set()
        story.lines.add(describe(entry))
        return {story.incident}


def _begin_anew(service: _Service, entry: Entry) -> None:
    service.promoted = describe(entry)
    service.recent = Lines([service.promoted])
