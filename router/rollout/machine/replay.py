"""The state of a service as the fold of its entries. Which entries of a journal count is the journal's own rule."""

from __future__ import annotations

from collections.abc import Iterable

from router.rollout.facts.entry import Entry
from router.rollout.facts.router_itself import Booted
from router.rollout.machine.registry import Registry


def rebuild(service: str, entries: Iterable[Entry]) -> Registry:
    """Return the registry of `service` from effective entries, in order; `boot` entries of the whole router count, too."""
    registry = Registry(service)
    for entry in entries:
        if isinstance(entry.fact, Booted) or entry.service == service:
            registry.apply(entry)
    return registry
