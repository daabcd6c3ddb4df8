"""Brings changed settings to control and the workers, in an order that disturbs no service which stays.

    added      a free place → control (journal, route) → workers
    removed    workers (no new request) → their last requests end → control forgets the service → its place is cleared, and free
    changed    control and workers at once

A child writes to shared memory which document is in force there, so a child that was killed in between is waited for: its
replacement starts with the newest document. Additions and removals by one file are one step for a worker: a service that gets
another name at the same prefix loses no request.

A later file that adds services waits while control adds or forgets. Any other one does not wait, and takes back an addition that
control has not finished. No file waits for the last requests of a removed service, and it may bring the service back.

Why: docs/decisions.md#a-service-keeps-its-place.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, Protocol

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime.text.plurals import counted
from router.settings.sections.service import Service
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.settings_memory import DeliveredSettings, Place
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)

REPORT_EVERY_S: Final = 30.0
"""How often the log repeats that a change waits for control, or a place for a worker."""


class Documents(Protocol):
    """Writes the documents of the children (processes.py)."""

    def write_for_control(self, settings: Settings, delivery: DeliveredSettings) -> None:
        """Replace control's document."""

    def write_for_workers(self, settings: Settings, delivery: DeliveredSettings) -> None:
        """Replace the workers' document."""


class RolloutPhase(Enum):
    """What the next change waits for."""

    SETTLED = auto()
    """Nothing. Services may be leaving."""
    ADDING = auto()
    """Control adds services; the workers have the former settings."""
    FORGETTING = auto()
    """Control forgets services that no worker has."""


def first_places(settings: Settings) -> dict[str, Place]:
    """Return the place of each service when a router starts."""
    return {name: Place(number) for number, name in enumerate(sorted(settings.services))}


class SettingsRollout:
    """The settings of one router. `settings` are those that the newest documents of all children have.

    `places` are the places in use: of all services that control or a worker may know.
    """

    def __init__(self, settings: Settings, documents: Documents, segment: Segment, origin: str) -> None:
        """`origin` is where the settings come from, for the log."""
        self.settings = settings
        self.places = first_places(settings)
        self._documents = documents
        self._origin = origin
        self._segment = segment
        self._worker_stats = WorkerStats(segment)
        self._phase = RolloutPhase.SETTLED
        self._number = self._control_number = self._worker_number = 1
        self._leaving: dict[str, Service] = {}
        self._left_at_ns = self._since_ns = self._report_at_ns = 0
        self._coming: tuple[Settings, dict[str, Service]] | None = None
        """In phase ADDING: the settings that control is given, and the services that they remove."""
        self._taken_back = False
        """In phase FORGETTING: control has refused to add the services."""
        self._next: Settings | None = None
        """Newer settings, which wait for the end of this phase."""

    @property
    def settled(self) -> bool:
        """Whether every change is complete: nothing waits for control or a worker."""
        return self._phase is RolloutPhase.SETTLED and not self._leaving

    # -- steps
    def begin(self, settings: Settings, now_ns: int) -> None:
        """Bring these settings to all children: at once, or after the present phase if they add services.

        Raise StartError, with nothing changed, if there are not enough free places.
        """
        known = self.settings.services.keys() | self._leaving.keys()
        if self._phase is RolloutPhase.SETTLED or settings.services.keys() <= known:
            self._next = None
            self._start(settings, now_ns)
        else:
            log.info("the settings in %s are read, and wait for control: %s", self._origin, self._awaited())
            self._next = settings

    def tick(self, now_ns: int) -> None:
        """Take the next step if the children are ready for it."""
        if self._phase is not RolloutPhase.SETTLED:
            self._await_control(now_ns)
        if self._phase is RolloutPhase.SETTLED and self._next is not None:
            settings, self._next = self._next, None
            try:
                self._start(settings, now_ns)
            except StartError as error:
                log.error("settings not reloaded, nothing changed: %s", error.detail)
        if self._phase is RolloutPhase.SETTLED and self._leaving:
            self._await_workers(now_ns)

    def _start(self, settings: Settings, now_ns: int) -> None:
        added = sorted(settings.services.keys() - self.places.keys())
        self._refuse_too_many(added)
        before = self.settings.services | self._leaving
        removed = {name: service for name, service in before.items() if name not in settings.services}
        free = (number for number in range(at.SERVICES_MAX) if number not in self._taken)
        places = self.places | {name: Place(number, now_ns) for name, number in zip(added, free, strict=False)}
        self._write_control(settings, removed, self._version + 1, places)
        self._since_ns = self._report_at_ns = now_ns
        if added:
            self.places, self._coming, self._phase = places, (settings, removed), RolloutPhase.ADDING
            return
        if self._phase is RolloutPhase.ADDING:
            self._forget_added()
        self._hand_over(settings, removed, now_ns)

    def _hand_over(self, settings: Settings, removed: dict[str, Service], now_ns: int) -> None:
        """Give the workers these settings: they are in force from here on."""
        places = {name: self.places[name] for name in settings.services}
        document = DeliveredSettings(self._number, self._version + 1, places, b"")
        self._documents.write_for_workers(settings, document)  # without a descriptor left, the next tick tries again
        if removed.keys() - self._leaving.keys():
            self._left_at_ns = self._report_at_ns = now_ns
        self.settings, self._leaving, self._worker_number = settings, removed, self._number
        self._segment.words[at.H_SETTINGS] += 1
        log.info("settings reloaded from %s, version %d", self._origin, self._version)
        for name in sorted(removed):
            log.info("service %s is removed: it gets no new request, and ends with its last one", name)

    @property
    def _version(self) -> int:
        return self._segment.words[at.H_SETTINGS]

    @property
    def _taken(self) -> set[int]:
        return {place.number for place in self.places.values()}

    def _refuse_too_many(self, added: list[str]) -> None:
        free = at.SERVICES_MAX - len(self.places)
        if len(added) <= free:
            return
        leaving = ", ".join(sorted(self._leaving))
        remedy = f"{leaving} must end first" if leaving else "remove services by an earlier SIGHUP"
        raise StartError(
            StartCode.SETTINGS_INVALID,
            f"services: {', '.join(added)} need {counted(len(added), 'place')}, and {free} of {at.SERVICES_MAX} are free: "
            f"{remedy}; the place of a removed service is free once its last request has ended, and the log says so",
        )

    # -- documents
    def _write_control(
        self, settings: Settings, leaving: Mapping[str, Service], version: int, places: Mapping[str, Place]
    ) -> None:
        number = self._number + 1
        known = {name: place for name, place in places.items() if name in settings.services or name in leaving}
        sections = {name: service.model_dump_json() for name, service in leaving.items()}
        self._documents.write_for_control(settings, DeliveredSettings(number, version, known, b"", sections))
        self._number = self._control_number = number

    # -- control
    def _await_control(self, now_ns: int) -> None:
        words = self._segment.words
        if self._phase is RolloutPhase.ADDING and words[at.H_CONTROL_REFUSED] >= self._control_number:
            self._take_back()
        elif words[at.H_CONTROL_DOCUMENT] >= self._control_number:
            self._control_has_done(now_ns)
        elif self._overdue(now_ns):
            log.warning("waiting for control since %.0f s: %s", (now_ns - self._since_ns) / 1e9, self._awaited())

    def _awaited(self) -> str:
        names = ", ".join(sorted(self._unused()))
        return f"it adds {names}" if self._phase is RolloutPhase.ADDING else f"it forgets {names}"

    def _unused(self) -> set[str]:
        """Return the services with a place that no worker has, or may have."""
        return self.places.keys() - self.settings.services.keys() - self._leaving.keys()

    def _control_has_done(self, now_ns: int) -> None:
        if self._coming is not None:
            self._hand_over(*self._coming, now_ns)
            self._coming = None
        else:
            for name in sorted(self._unused()):
                place = self.places[name]
                self._segment.clear_place(place.number)
                del self.places[name]
                end = "is not added" if self._taken_back else "has ended"
                log.info("service %s %s; place %d of %d is free again", name, end, place.number + 1, at.SERVICES_MAX)
            self._taken_back = False
        self._phase = RolloutPhase.SETTLED

    def _take_back(self) -> None:
        """Go back to the settings before: control has refused the new ones, and a restarted control must not get them."""
        log.error("settings not reloaded, nothing changed: control has refused them; its line above has the reason")
        self._write_control(self.settings, self._leaving, self._version, self.places)
        self._forget_added()

    def _forget_added(self) -> None:
        self._coming, self._taken_back, self._phase = None, True, RolloutPhase.FORGETTING

    # -- workers
    def _await_workers(self, now_ns: int) -> None:
        behind = [index for index in range(self._worker_stats.workers) if not self._has_left(index)]
        if not behind:
            self._write_control(self.settings, {}, self._version, self.places)
            self._leaving = {}
            self._phase, self._since_ns, self._report_at_ns = RolloutPhase.FORGETTING, now_ns, now_ns
        elif now_ns - self._left_at_ns > self.settings.timeouts.shutdown_timeout_s * 1e9 and self._overdue(now_ns):
            log.warning(
                "the places of %s stay taken: %s not confirmed that their last requests have ended (removed %.0f s ago)",
                ", ".join(sorted(self._leaving)),
                f"workers {behind} have" if len(behind) > 1 else f"worker {behind[0]} has",
                (now_ns - self._left_at_ns) / 1e9,
            )

    def _has_left(self, worker: int) -> bool:
        """Return whether nothing is in flight in a worker of a service that the newest document lacks."""
        return self._worker_stats.left(worker) >= self._worker_number

    def _overdue(self, now_ns: int) -> bool:
        if now_ns - self._report_at_ns < REPORT_EVERY_S * 1e9:
            return False
        self._report_at_ns = now_ns
        return True
