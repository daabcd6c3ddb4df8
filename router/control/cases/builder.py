"""Makes cases of what a rolled-back version failed at: a moment after the rollback, once, whoever may have been killed meanwhile.

A rollback without its `cases_frozen` fact is due. The requests are in shared memory, which outlives control, so its successor
finds both: the fact that is there, and the one that is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.control.cases.captures import CapturedRequests, cases_of, why_not
from router.control.core.loop import ControlLoop
from router.control.store.cases import CaseStore
from router.control.store.cases_file import Added, Caps
from router.errors import OperatorError
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.stats.figures import CAPTURED_AFTER_NS
from router.runtime import clock

log = logging.getLogger(__name__)

DELAY_NS: Final = CAPTURED_AFTER_NS
"""After the rollback: what it has sent on to the other version has mostly been answered by then, and the incident's page
counts the failing requests of the same time."""
RETRY_NS: Final = 10_000_000_000
FAILURES_MAX: Final = 4096
"""Looked at for one incident."""
CASES_MAX: Final = 50
"""Made of one incident: it may not displace what was learnt from all others."""


@dataclass(slots=True)
class Due:
    """A rollback whose cases are not frozen yet. `next_ns`: when it is tried (again); `busy`: it is being tried."""

    service: str
    version: str
    incident: str
    rolled_back_ns: int
    next_ns: int
    busy: bool = False


class CaseBuilder:
    """`boot` is that of the living wall: rollbacks of earlier ones left nothing in it."""

    def __init__(self, control_loop: ControlLoop, captured: CapturedRequests, store: CaseStore, boot: int) -> None:
        self._control_loop = control_loop
        self._captured = captured
        self._store = store
        self._boot = boot
        self.due: dict[str, Due] = {}
        """By incident."""

    def look_back(self, entries: Sequence[Entry]) -> None:
        """Take in the facts of the journal; a change that was struck out has not happened."""
        abandoned = {entry.data.get("abandons") for entry in entries if entry.type == kinds.ABANDONED}
        for entry in entries:
            if entry.seq not in abandoned:
                self.on_entry(entry)

    def on_entry(self, entry: Entry) -> None:
        """A fact: a rollback is due, frozen cases are done with."""
        if entry.type == kinds.CASES_FROZEN:
            self.due.pop(entry.data["incident"], None)
        elif (
            entry.type == kinds.ROLLED_BACK
            and entry.boot == self._boot
            and entry.service in self._control_loop.services
        ):
            data = entry.data
            if data.get("from") and self._control_loop.services[entry.service].service.cases.capture:
                at_ns = entry.monotonic_ns
                due = Due(entry.service, data["from"], data["incident"], at_ns, at_ns + DELAY_NS)
                self.due.setdefault(due.incident, due)

    def tick(self, now_ns: int) -> None:
        """Begin with what is due."""
        for due in self.due.values():
            if not due.busy and now_ns >= due.next_ns:
                due.busy, due.next_ns = True, now_ns + RETRY_NS
                self._control_loop.tasks.spawn(self._build(due), f"cases of {due.incident}")

    async def _build(self, due: Due) -> None:
        service_controller = self._control_loop.services[due.service]
        settings = service_controller.service.cases
        since_ns = due.rolled_back_ns - int(settings.freeze_window_s * 1e9)
        until_ns = due.rolled_back_ns + DELAY_NS
        try:
            told = await self._captured.failures(due.service, since_ns, until_ns, FAILURES_MAX)
            most = min(CASES_MAX, settings.cases_max)
            cases = await asyncio.to_thread(cases_of, told, due.version, due.incident, most)
            none_of = await asyncio.to_thread(why_not, told, due.version, due.incident)
            caps = Caps(settings.cases_max, settings.bytes_max)
            added = await self._store.call(lambda file: file.add(due.service, cases, caps, clock.wall_s()))
        except OperatorError as error:
            self._control_loop.alarms.up("cases_not_kept", f"the cases of {due.incident}: {error.detail}", due.service)
            return
        finally:
            due.busy = False
        self._control_loop.alarms.down("cases_not_kept", due.service)
        seen = sum(failure["version"] == due.version for failure in told)
        fact = _fact(due, added, seen, none_of, settings.freeze_window_s)
        service_controller.executor.perform([Record(kinds.CASES_FROZEN, "control", fact)], clock.now_ns())
        self.due.pop(due.incident, None)
        log.info("incident %s: %d cases of %d failing requests", due.incident, len(added.added), seen)


def _fact(due: Due, added: Added, seen: int, none_of: dict[str, int], window_s: float) -> dict[str, object]:
    return {
        "incident": due.incident,
        "version": due.version,
        "seen": seen,
        "cases": [*added.added, *added.known],
        "dropped": len(added.dropped),
        "refused": len(added.refused),
        "left_out": none_of,
        "window_s": window_s,
    }
