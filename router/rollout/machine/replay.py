"""What one service is: its versions, their states and history, quarantine, freeze, baseline. The fold of its journal.

`apply` is the only way to change it, and an entry is the only thing it takes, so what is rebuilt from the journal at a start
is what was there before. An entry that the rules do not allow raises and changes nothing. Every entry that changes roles
carries the new state of every version it touches: a later one needs no earlier one to be understood.

    data member    means
    generation     the route that goes with it, if there are states
    states         {version: state after it}, empty if only the route is new
    base           the generation on which it was decided
    target         {version, endpoints, slot, incarnation}: a version placed in a slot, or moved
    bounded        versions whose drain is cut after rollback_drain_timeout_s
    freed          versions that hold no slot any more
    quarantine     {version: {reason, incident}}; a mark that returns has its `actor` and `at`, too
    release        versions whose mark is lifted
    lifted_for_s   {version: seconds} of those among them whose mark comes back
    artifact, source  where the version of `target` comes from
    forced         true: the states are taken as they are (memory that outlived control; an assumption of the operator)
"""

from __future__ import annotations

from collections.abc import Sequence

from router.rollout.machine.registry import Registry
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry, route_generation


def rebuild(service: str, entries: Sequence[Entry], stored: int | None = None) -> Registry:
    """Return the registry that `entries` (in order) mean for `service`; facts of the whole router count for it too.

    `stored` is the generation that shared memory holds, if it is alive.
    """
    registry = Registry(service)
    for entry in effective_entries([e for e in entries if e.type == kinds.BOOT or e.service == service], stored):
        registry.apply(entry)
    return registry


def effective_entries(entries: Sequence[Entry], stored: int | None = None) -> list[Entry]:
    """Return the entries of one service that became true.

    A person's change is journalled before its store, so some were journalled in vain: those that an `abandoned` entry
    names, those that a later entry overtook (its `base`, the generation on which it was decided, is older than they are),
    and those of which shared memory never saw the route.
    """
    abandoned = {entry.data["abandons"] for entry in entries if entry.type == kinds.ABANDONED}
    result: list[Entry] = []
    newest = (
        0  # of the generations in `result`: hardly an entry overtakes any, and looking each time would take n² steps
    )
    for entry in entries:
        if (base := entry.data.get("base")) is not None and base < newest:
            result, newest = [known for known in result if (route_generation(known) or 0) <= base], base
        if entry.seq == 0 or entry.seq not in abandoned:
            result.append(entry)
            newest = max(newest, route_generation(entry) or 0)
    if stored is None:
        return result
    return [entry for entry in result if (route_generation(entry) or 0) <= stored]


def uncommitted_entries(service: str, entries: Sequence[Entry], stored: int) -> list[Entry]:
    """Return the entries of `service` that count as true, although shared memory (at generation `stored`) never saw their
    route: control died between the journal and the store. Unless they are struck out, a cold start would believe them.
    """
    own = [entry for entry in entries if entry.service == service]
    return [entry for entry in effective_entries(own) if (route_generation(entry) or 0) > stored]
