"""Consecutive probe results by endpoint of a version, as HAProxy's rise and fall.

A result is good, bad or unknown. Unknown (the server wants credentials) says nothing about the model: it ends no streak of good
ones and begins none of bad ones. It keeps a version as ready as the settings' `expect_status_below` says, as it always did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.model.events import ProbeCompleted
from router.rollout.model.identity import Identity
from router.rollout.model.target import Target

PASSES_MAX: Final = 64
"""Times of good inference probes that are kept of an endpoint: a minute at one a second."""


@dataclass(frozen=True, slots=True)
class Streak:
    """`good`, `bad`: consecutive results; one of them is 0. `refused_since_ns`: since when no connection was accepted
    (monotonic), 0 if accepted. `bad_since_ns`: time of the first bad one. `late`: all bad ones connected and timed out.
    `passes`: times of the newest good inference probes. `unknown`: the last result was unknown. `inference`: the last probe was
    an inference request. `identity`: of the last good one.
    """

    good: int = 0
    refused_since_ns: int = 0
    detail: str = ""
    bad: int = 0
    bad_since_ns: int = 0
    late: bool = False
    passes: tuple[int, ...] = ()
    unknown: bool = False
    inference: bool = False
    identity: Identity | None = None


class ProbeStreaks:
    """The streaks of the versions of one service."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[str, Streak]] = {}
        self.changes = 0
        """Grows with every result and every reset."""

    def record(self, event: ProbeCompleted) -> None:
        """Add the result of one probe."""
        self.changes += 1
        known = self._versions.setdefault(event.version, {})
        known[event.endpoint_url] = _after(known.get(event.endpoint_url) or Streak(), event)

    def reset(self, version: str) -> None:
        """Drop the streaks of a version: it is probed no more, or anew."""
        self.changes += 1
        self._versions.pop(version, None)

    def _of(self, target: Target) -> list[Streak | None]:
        known = self._versions.get(target.version, {})
        return [known.get(url) for url in target.endpoints]

    def of_endpoint(self, version: str, url: str) -> Streak | None:
        """Return the streak of one endpoint; None before its first probe."""
        return self._versions.get(version, {}).get(url)

    def fewest_good(self, target: Target) -> int:
        """Return the smallest number of consecutive good probes of any endpoint."""
        return min((streak.good if streak else 0 for streak in self._of(target)), default=0)

    def most_good(self, target: Target, needed: int) -> bool:
        """Return whether more than half of the endpoints have `needed` consecutive good probes. One failing endpoint of several
        does not make the version fail.
        """
        streaks = self._of(target)
        return 2 * sum(streak is not None and streak.good >= needed for streak in streaks) > len(streaks)

    def good_endpoints(self, target: Target) -> int:
        """Return the number of endpoints whose last probe was good."""
        return sum(streak is not None and streak.good > 0 for streak in self._of(target))

    def ready(self, target: Target) -> bool:
        """Return whether the last probe of at least one endpoint was good."""
        return self.good_endpoints(target) > 0

    def all_failing(self, target: Target) -> bool:
        """Return whether every endpoint was probed and its last probe failed."""
        return all(streak is not None and streak.bad > 0 for streak in self._of(target))

    def failing(self, target: Target) -> list[Streak]:
        """Return the streaks of the endpoints whose last probe was bad."""
        return [streak for streak in self._of(target) if streak is not None and streak.bad > 0]

    def unauthorised(self, target: Target) -> list[str]:
        """Return the endpoints that want credentials of the probe."""
        known = self._versions.get(target.version, {})
        return [url for url in target.endpoints if (streak := known.get(url)) is not None and streak.unknown]

    def passes(self, target: Target) -> list[int]:
        """Return the times of the newest good inference probes of a version, oldest first (monotonic nanoseconds)."""
        return sorted(at_ns for streak in self._of(target) if streak for at_ns in streak.passes)

    def identity(self, target: Target, needed: int) -> Identity | None:
        """Return the identity of the last good probe of an endpoint with `needed` good ones in a row; None without one."""
        streaks = self._of(target)
        return next((s.identity for s in streaks if s is not None and s.good >= needed and s.identity), None)

    def unreachable_since_ns(self, target: Target) -> int | None:
        """Return since when probes could connect to no endpoint (monotonic); None if one accepts or was never probed."""
        known, newest_ns = self._versions.get(target.version, {}), 0
        for url in target.endpoints:
            streak = known.get(url)
            if streak is None or not streak.refused_since_ns:
                return None
            newest_ns = max(newest_ns, streak.refused_since_ns)
        return newest_ns or None

    def detail(self, version: str) -> str:
        """Return the errors of the last probes, by endpoint."""
        known = self._versions.get(version, {})
        return "; ".join(f"{url}: {streak.detail}" for url, streak in known.items() if streak.detail)


def _after(before: Streak, event: ProbeCompleted) -> Streak:
    """Return the streak of an endpoint after one more probe."""
    if event.unknown:
        return Streak(
            before.good + event.ok,
            passes=before.passes,
            unknown=True,
            inference=event.inference,
            identity=before.identity,
        )
    if event.ok:
        return Streak(
            before.good + 1,
            passes=(*before.passes, event.at_ns)[-PASSES_MAX:] if event.inference else before.passes,
            inference=event.inference,
            identity=event.identity or before.identity,
        )
    return Streak(
        refused_since_ns=(before.refused_since_ns or event.at_ns) if event.connect_failed else 0,
        detail=event.detail,
        bad=before.bad + 1,
        bad_since_ns=before.bad_since_ns or event.at_ns,
        late=event.late and (before.late or not before.bad),
        passes=before.passes,
        inference=event.inference,
        identity=before.identity,
    )
