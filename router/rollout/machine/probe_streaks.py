"""Consecutive probe results by endpoint of a slot, as HAProxy's rise and fall."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from router.rollout.model.events import ProbeCompleted


@dataclass(frozen=True, slots=True)
class Streak:
    """`good`: consecutive good probes; `refused_since_ns`: since when no connection was accepted (monotonic), 0 if accepted."""

    version: str
    good: int
    refused_since_ns: int
    detail: str


class ProbeStreaks:
    """The streaks of one service. Another version in a slot starts new streaks."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[str, Streak]] = {}

    def record(self, event: ProbeCompleted) -> None:
        """Add the result of one probe."""
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

    def reset(self, slot: int) -> None:
        """Drop the streaks of a slot."""
        self._slots.pop(slot, None)

    def _of(self, slot: int, endpoints: Iterable[str]) -> list[Streak | None]:
        known = self._slots.get(slot, {})
        return [known.get(url) for url in endpoints]

    def fewest_good(self, slot: int, endpoints: Iterable[str]) -> int:
        """Return the smallest number of consecutive good probes of any endpoint."""
        return min((streak.good if streak else 0 for streak in self._of(slot, endpoints)), default=0)

    def most_good(self, slot: int, endpoints: Iterable[str], needed: int) -> bool:
        """Return whether more than half of the endpoints have `needed` consecutive good probes. One failing endpoint of several
        does not make the version fail.
        """
        streaks = self._of(slot, endpoints)
        return 2 * sum(streak is not None and streak.good >= needed for streak in streaks) > len(streaks)

    def ready(self, slot: int, endpoints: Iterable[str]) -> bool:
        """Return whether the last probe of at least one endpoint was good."""
        return any(streak is not None and streak.good > 0 for streak in self._of(slot, endpoints))

    def all_failing(self, slot: int, endpoints: Iterable[str]) -> bool:
        """Return whether every endpoint was probed and its last probe failed."""
        return all(streak is not None and streak.good == 0 for streak in self._of(slot, endpoints))

    def unreachable_since_ns(self, slot: int, endpoints: Iterable[str]) -> int | None:
        """Return since when probes could connect to no endpoint (monotonic); None if one accepts or was never probed."""
        since = [streak.refused_since_ns if streak else 0 for streak in self._of(slot, endpoints)]
        return max(since) if since and all(since) else None

    def detail(self, slot: int) -> str:
        """Return the errors of the last probes, by endpoint."""
        return "; ".join(
            f"{url}: {streak.detail}" for url, streak in self._slots.get(slot, {}).items() if streak.detail
        )
