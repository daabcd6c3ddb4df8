"""Which entries of a journal of one router are effective.

An operator's change is journalled before its route is stored. If control dies between the two, or another decision overtakes it,
the entry is in the journal without effect; an `abandoned` entry may name it. Only a journal whose writer stores a verdict before
it is journalled has such entries.
"""

from __future__ import annotations

from collections.abc import Sequence

from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.router_itself import Abandoned, Booted
from router.rollout.facts.versions import VersionFact


def effective_entries(entries: Sequence[Entry], stored: int | None = None) -> list[Entry]:
    """Return the effective entries of one service, of which `entries` are all, oldest first. These are not effective:

    1. an entry that an `abandoned` entry names;
    2. an entry with a newer generation than the `base` of a later entry: the later decision was made without it;
    3. an entry with a newer generation than `stored`, the generation in shared memory, if shared memory outlived control: its
       route never reached shared memory.
    """
    abandoned = {entry.fact.abandons for entry in entries if isinstance(entry.fact, Abandoned)}
    result: list[Entry] = []
    # The newest generation in `result`: few entries overtake others, and a search at each entry would take n² steps.
    newest = 0
    for entry in entries:
        base = entry.fact.base if isinstance(entry.fact, VersionFact) else None
        if base is not None and base < newest:
            result, newest = [known for known in result if (route_generation(known) or 0) <= base], base
        if entry.seq == 0 or entry.seq not in abandoned:
            result.append(entry)
            newest = max(newest, route_generation(entry) or 0)
    if stored is None:
        return result
    return [entry for entry in result if (route_generation(entry) or 0) <= stored]


def uncommitted_entries(service: str, entries: Sequence[Entry], stored: int) -> list[Entry]:
    """Return the effective entries of `service` whose route never reached shared memory (at generation `stored`): control died
    between journal and store. They must be abandoned; otherwise a cold start would apply them.
    """
    own = [entry for entry in entries if entry.service == service]
    return [entry for entry in effective_entries(own) if (route_generation(entry) or 0) > stored]


def effective_of(service: str, entries: Sequence[Entry], stored: int | None = None) -> list[Entry]:
    """Return the effective entries of `service` among those of all, with the `boot` entries, which change every service."""
    return effective_entries(
        [entry for entry in entries if isinstance(entry.fact, Booted) or entry.service == service], stored
    )
