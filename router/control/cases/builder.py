"""Builds regression cases from the requests that a rolled-back version failed.

It does so once, 2 s after the rollback, also if control was killed in between: a rollback without its `cases_frozen` entry is
still to be built, and the captured requests are in shared memory, which outlives control.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.control.cases.captures import CapturedRequests, cases_of, left_out_reasons
from router.control.core.loop import ControlLoop
from router.control.store.case_store import CaseStore
from router.control.store.cases_file import Added, Caps
from router.errors import Refusal
from router.rollout.model import entry as entry_types
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.stats.figures import CAPTURED_AFTER_NS
from router.runtime import clock

log = logging.getLogger(__name__)

DELAY_NS: Final = CAPTURED_AFTER_NS
"""After the rollback. Most rescued requests are answered by then, and the incident's page counts the same period."""
RETRY_NS: Final = 10_000_000_000
FAILURES_MAX: Final = 4096
"""Read for one incident."""
CASES_MAX: Final = 50
"""Built for one incident, so that it does not displace the cases of all others."""


@dataclass(slots=True)
class PendingBuild:
    """A rollback whose cases are not built yet. `next_ns`: the time of the next try; `busy`: a try is under way."""

    service: str
    version: str
    incident: str
    rolled_back_ns: int
    next_ns: int
    busy: bool = False


class CaseBuilder:
    """`boot` is that of the shared memory: requests of earlier boots are not in it."""

    def __init__(self, control_loop: ControlLoop, captured: CapturedRequests, store: CaseStore, boot: int) -> None:
        self._control_loop = control_loop
        self._captured = captured
        self._store = store
        self._boot = boot
        self.pending: dict[str, PendingBuild] = {}
        """The rollbacks whose cases are not built yet, by incident."""

    def restore(self, entries: Sequence[Entry]) -> None:
        """Fold the entries of the journal, without the changes that were abandoned."""
        abandoned = {entry.data.get("abandons") for entry in entries if entry.type == entry_types.ABANDONED}
        for entry in entries:
            if entry.seq not in abandoned:
                self.on_entry(entry)

    def on_entry(self, entry: Entry) -> None:
        """Fold an entry: a rollback becomes pending; built cases end that."""
        if entry.type == entry_types.CASES_FROZEN:
            self.pending.pop(entry.data["incident"], None)
        elif (
            entry.type == entry_types.ROLLED_BACK
            and entry.boot == self._boot
            and entry.service in self._control_loop.services
        ):
            data = entry.data
            if data.get("from") and self._control_loop.services[entry.service].service.cases.capture:
                at_ns = entry.monotonic_ns
                pending = PendingBuild(entry.service, data["from"], data["incident"], at_ns, at_ns + DELAY_NS)
                self.pending.setdefault(pending.incident, pending)

    def tick(self, now_ns: int) -> None:
        """Start the builds that are due."""
        for pending in self.pending.values():
            if not pending.busy and now_ns >= pending.next_ns:
                pending.busy, pending.next_ns = True, now_ns + RETRY_NS
                self._control_loop.tasks.spawn(self._build(pending), f"cases of {pending.incident}")

    async def _build(self, pending: PendingBuild) -> None:
        service_controller = self._control_loop.services[pending.service]
        settings = service_controller.service.cases
        since_ns = pending.rolled_back_ns - int(settings.freeze_window_s * 1e9)
        until_ns = pending.rolled_back_ns + DELAY_NS
        try:
            failures = await self._captured.failures(pending.service, since_ns, until_ns, FAILURES_MAX)
            cases_max = min(CASES_MAX, settings.cases_max)
            cases = await asyncio.to_thread(cases_of, failures, pending.version, pending.incident, cases_max)
            left_out_counts = await asyncio.to_thread(left_out_reasons, failures, pending.version, pending.incident)
            caps = Caps(settings.cases_max, settings.bytes_max)
            added = await self._store.call(lambda file: file.add(pending.service, cases, caps, clock.wall_s()))
        except Refusal as error:
            self._control_loop.alarms.up(
                "cases_not_kept", f"the cases of {pending.incident}: {error.detail}", pending.service
            )
            return
        finally:
            pending.busy = False
        self._control_loop.alarms.down("cases_not_kept", pending.service)
        seen = sum(failure["version"] == pending.version for failure in failures)
        data = _entry_data(pending, added, seen, left_out_counts, settings.freeze_window_s)
        service_controller.executor.perform([Record(entry_types.CASES_FROZEN, "control", data)], clock.now_ns())
        self.pending.pop(pending.incident, None)
        log.info("incident %s: %d cases of %d failing requests", pending.incident, len(added.added), seen)


def _entry_data(
    pending: PendingBuild, added: Added, seen: int, left_out_counts: dict[str, int], window_s: float
) -> dict[str, object]:
    return {
        "incident": pending.incident,
        "version": pending.version,
        "seen": seen,
        "cases": [*added.added, *added.known],
        "dropped": len(added.dropped),
        "refused": len(added.refused),
        "left_out": left_out_counts,
        "window_s": window_s,
    }
