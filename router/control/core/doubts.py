"""Changes in doubt: the disk has not said whether it has them. Their alarm, and the decision about them at a start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router.control.core.executor import CommandExecutor
from router.control.monitors.alarms import Alarms
from router.control.store.in_doubt import COMPLETED, STRUCK_OUT, InDoubtChange
from router.control.store.journal import Journal
from router.control.store.journal_rows import row
from router.rollout.machine.replay import effective_entries, uncommitted_entries
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.runtime import clock

CODE = "change_in_doubt"


class DoubtAlarm:
    """One alarm for each service that has a change in doubt; it ends with the last of them."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._open: dict[str, list[InDoubtChange]] = {}

    def changed(self, doubt: InDoubtChange) -> None:
        """A change is in doubt, or (with an outcome) no longer."""
        known = [other for other in self._open.get(doubt.service, ()) if other is not doubt]
        self._open[doubt.service] = known = known if doubt.outcome is not None else [*known, doubt]
        if not known:
            self._alarms.down(CODE, doubt.service)
            return
        listed = "; ".join(
            f"{change.seq} ({change.type} by {change.actor}, {clock.iso(change.at)})" for change in known
        )
        self._alarms.up(CODE, f"the disk may have these changes, which are not in effect: {listed}", doubt.service)


def outcome(doubt: InDoubtChange, entries: Sequence[Entry], stored: int | None) -> str | None:
    """Return the outcome of a change that the previous control has left in doubt; None while it is being taken back.

    `entries` are the entries that the start has found. The change is completed if its row is intact and no later change has
    overtaken it. `stored` is the generation of its service in shared memory, if that has outlived control: if the route was
    never stored there, the start abandons the entry, and the change stays in doubt until the disk has that.
    """
    found = next((entry for entry in entries if entry.seq == doubt.seq), None)
    if found is None or (doubt.crc and row(found.seq, found)[-1] != doubt.crc):
        return STRUCK_OUT
    own = [entry for entry in entries if entry.service == found.service]
    if found not in effective_entries(own):
        return STRUCK_OUT
    if stored is not None and found in uncommitted_entries(found.service, entries, stored):
        return None
    return COMPLETED


def decide_all(
    journal: Journal, entries: Sequence[Entry], executors: Mapping[str, CommandExecutor], stored: Mapping[str, int]
) -> None:
    """Decide each change that the previous control has left in doubt, and journal the decision."""
    for doubt in journal.left_in_doubt:
        if doubt.outcome is not None:  # taken back already
            continue
        decided = outcome(doubt, entries, stored.get(doubt.service))
        if decided is None:
            journal.record_in_doubt(doubt)
            continue
        journal.decide(doubt, decided)
        if (executor := executors.get(doubt.service)) is not None:
            data = {"change": doubt.seq, "type": doubt.type, "by": doubt.actor, "outcome": decided}
            executor.perform([Record(kinds.DOUBT_DECIDED, "control", data)], clock.now_ns())
