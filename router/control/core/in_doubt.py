"""The alarm of changes in doubt, and the decision about them at a start.

A change is in doubt while it is unknown whether the disk has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.control.core.executor import CommandExecutor
from router.control.monitors.alarms import Alarms
from router.control.store.in_doubt import COMPLETED, STRUCK_OUT, InDoubtChange
from router.control.store.journal_file import JournalFile
from router.control.store.records.effective import effective_entries, uncommitted_entries
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.facts.router_itself import DoubtDecided
from router.runtime import clock

CODE = "change_in_doubt"


class InDoubtAlarm:
    """One alarm for each service that has a change in doubt; it ends with the last of them."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._open: dict[str, list[InDoubtChange]] = {}

    def changed(self, change: InDoubtChange) -> None:
        """Update the alarm: a change is in doubt, or it has an outcome and is no longer in doubt."""
        known = [other for other in self._open.get(change.service, ()) if other is not change]
        self._open[change.service] = known = known if change.outcome is not None else [*known, change]
        if not known:
            self._alarms.down(CODE, change.service)
            return
        listed = "; ".join(f"{item.seq} ({item.type} by {item.actor}, {clock.iso(item.at)})" for item in known)
        self._alarms.up(CODE, f"the disk may have these changes, which are not in effect: {listed}", change.service)


def outcome(change: InDoubtChange, entries: Sequence[Entry], checksum: int | None, stored: int | None) -> str | None:
    """Return the outcome of a change that the previous control has left in doubt; None while it is being struck out.

    `entries` are the entries that the start has found, `checksum` is the stored one of the row of the change. The change is
    completed if its row is intact and no later change has overtaken it. `stored` is the generation of its service in shared
    memory, if shared memory has outlived control. If the route was never stored there, the start abandons the entry. The change
    stays in doubt until the disk has the `abandoned` entry.
    """
    found = next((entry for entry in entries if entry.seq == change.seq), None)
    if found is None or (change.crc and checksum != change.crc):
        return STRUCK_OUT
    own = [entry for entry in entries if entry.service == found.service]
    if found not in effective_entries(own):
        return STRUCK_OUT
    if stored is not None and found in uncommitted_entries(found.service, entries, stored):
        return None
    return COMPLETED


def decide_all(
    journal: JournalFile, entries: Sequence[Entry], executors: Mapping[str, CommandExecutor], stored: Mapping[str, int]
) -> None:
    """Decide each change that the previous control has left in doubt, and journal the decision."""
    for change in journal.left_in_doubt:
        if change.outcome is not None:  # struck out already
            continue
        checksum = journal.found_checksums.get(change.seq)
        decided = outcome(change, entries, checksum, stored.get(change.service))
        if decided is None:
            journal.record_in_doubt(change)
            continue
        journal.decide(change, decided)
        if (executor := executors.get(change.service)) is not None:
            fact = DoubtDecided(change=change.seq, kind=change.type, by=change.actor, outcome=decided)
            executor.perform([Record(fact, "control")], clock.now_ns())
