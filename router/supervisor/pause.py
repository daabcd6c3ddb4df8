"""How long the supervisor waits for its next tick if no signal comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

TICK_S: Final = 0.1
REST_S: Final = 0.5
"""Longest wait while every child runs with its newest settings; the end of a child is a signal."""


class WatchedChild(Protocol):
    """The members of a child that decide when it needs the supervisor."""

    document: int

    @property
    def up(self) -> bool:
        """Whether it runs and has written a heartbeat."""

    def silent_s(self, now_ns: int, watched_since_ns: int) -> float:
        """Return the seconds since its last heartbeat."""


def pause_s(
    children: Iterable[tuple[WatchedChild, float, int]],
    now_ns: int,
    watched_since_ns: int,
    ping_ns: int | None = None,
) -> float:
    """Return the seconds until the next tick, TICK_S to REST_S.

    `children` come with their limits of silence in seconds, and with the number of the settings document that is the newest for
    them. A silent one is detected one TICK_S after its limit at the latest.
    `ping_ns`: when systemd's watchdog is due (monotonic); None without one.
    """
    due_s = REST_S if ping_ns is None else (ping_ns - now_ns) / 1e9
    for child, silent_limit_s, document in children:
        if not child.up or child.document != document:
            return TICK_S
        due_s = min(due_s, silent_limit_s - child.silent_s(now_ns, watched_since_ns))
    return min(max(due_s, TICK_S), REST_S)
