"""Probes in a row, per endpoint of a slot: the machine's short memory of what the probes said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from router.rollout.model.events import ProbeCompleted


@dataclass(frozen=True, slots=True)
class Streak:
    """`good`: good probes in a row; `refused_since_ns`: since when nobody could connect (monotonic), 0 if they can."""

    version: str
    good: int
    refused_since_ns: int
    detail: str


class ProbeStreaks:
    """The streaks of one service. A slot with another version starts afresh."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[str, Streak]] = {}

    def note(self, event: ProbeCompleted) -> None:
        """Count one probe."""
        known = self._slots.setdefault(event.slot, {})
        for url in [url for url, streak in known.items() if streak.version != event.version]:
            del known[url]
        before = known.get(event.endpoint_url)
        refused = before.refused_since_ns if before else 0
        known[event.endpoint_url] = Streak(
            event.version,
            (before.good if before else 0) + 1 if event.ok else 0,
            (refused or event.at_ns) if event.connect_failed else 0,
            "" if event.ok else event.detail,
        )

    def forget(self, slot: int) -> None:
        """Start a slot afresh."""
        self._slots.pop(slot, None)

    def _of(self, slot: int, endpoints: Iterable[str]) -> list[Streak | None]:
        known = self._slots.get(slot, {})
        return [known.get(url) for url in endpoints]

    def shortest(self, slot: int, endpoints: Iterable[str]) -> int:
        """Return the good probes in a row of the endpoint that has fewest: what a new version has to show on all."""
        return min((streak.good if streak else 0 for streak in self._of(slot, endpoints)), default=0)

    def gate(self, slot: int, endpoints: Iterable[str], needed: int) -> bool:
        """Return whether more than half of the endpoints have `needed` good probes in a row: one of several that fails is
        not the version failing.
        """
        streaks = self._of(slot, endpoints)
        return 2 * sum(streak is not None and streak.good >= needed for streak in streaks) > len(streaks)

    def ready(self, slot: int, endpoints: Iterable[str]) -> bool:
        """Return whether the last probe of at least one endpoint was good."""
        return any(streak is not None and streak.good > 0 for streak in self._of(slot, endpoints))

    def known_bad(self, slot: int, endpoints: Iterable[str]) -> bool:
        """Return whether every endpoint was probed and its last probe was bad; never probed is not bad."""
        return all(streak is not None and streak.good == 0 for streak in self._of(slot, endpoints))

    def unreachable_since_ns(self, slot: int, endpoints: Iterable[str]) -> int | None:
        """Return since when probes could connect to no endpoint; None if one answers or was never probed."""
        since = [streak.refused_since_ns if streak else 0 for streak in self._of(slot, endpoints)]
        return max(since) if since and all(since) else None

    def detail(self, slot: int) -> str:
        """Return what the failed last probes said, by endpoint."""
        return "; ".join(
            f"{url}: {streak.detail}" for url, streak in self._slots.get(slot, {}).items() if streak.detail
        )
