"""The samples of one slot: from the judge that saw them, else from the ring in shared memory that outlived it."""

from __future__ import annotations

from collections.abc import Sequence

from router.control.bench import Bench
from router.rollout.window import Entry, History
from router.shm.samples import SampleRing
from router.shm.wall import Wall


def trail_of(bench: Bench, place: tuple[int, int] | None, wall: Wall | None) -> Sequence[Entry]:
    """Return what is known of a version in `place` (slot, incarnation), oldest first; empty if its slot has another tenant.

    With `wall` its ring is looked at, too; that takes some milliseconds.
    """
    if place is None:
        return ()
    slot, incarnation = place
    found = bench.judge.trail(slot) or (_kept(bench, slot, wall) if wall is not None else [])
    return found if found and found[-1].sample.incarnation == incarnation else ()


def _kept(bench: Bench, slot: int, wall: Wall) -> list[Entry]:
    """A judge that began anew knows nothing of a slot that nobody holds any more."""
    history = History(bench.service.rules.stall_s)
    history.restore(dict(SampleRing(wall).load(bench.conductor.index, slot)))
    return list(history.trail())
