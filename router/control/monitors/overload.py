"""Whether more comes than the workers may take: an alarm as long as limits on all clients together act.

`overloaded` is about a worker as a whole: connections, requests, descriptors. `saturated` is about what holds its places:
tunnels, streams, requests that wait; it says who holds how many, which workers tell once a second while they refuse
(proxy/engine/holdings.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from router.control.monitors.alarms import Alarms
from router.shm.worker_stats import WorkerStats

OVERLOADED: Final = ("connections_max", "requests_max", "descriptors")
SATURATED: Final = ("in_flight_max", "connect_waits_max", "tunnels", "client_share", "client_share_cut")
"""Limits on one client alone alarm nobody, for they are what keeps it from being felt; but a client's share is limited only
while others are refused.
"""
WINDOW_S: Final = 10
CLIENTS_MAX: Final = 5
_SECOND_NS: Final = 1_000_000_000
_KINDS: Final = ("tunnels", "streams", "waiting", "sending")
_TOLD_MAX: Final = 4
"""Versions in the text of an alarm; `status` has all."""


class OverloadMonitor:
    """Looks once a second at what the workers counted. An alarm ends after WINDOW_S without a refusal; `saturated` not while a
    worker still says that no place is left: its cause would not be gone.
    """

    def __init__(self, worker_stats: WorkerStats, alarms: Alarms) -> None:
        self._worker_stats = worker_stats
        self._alarms = alarms
        self._saturated = False
        self._seconds: deque[tuple[int, dict[str, int]]] = deque(maxlen=WINDOW_S + 1)

    def look(self, now_ns: int) -> None:
        """Raise or end the alarms `overloaded` and `saturated`."""
        if self._seconds and now_ns - self._seconds[-1][0] < _SECOND_NS:
            return
        counts = self._worker_stats.limited()
        self._seconds.append((now_ns, counts))
        before = self._seconds[0][1]
        acted = {name: counts[name] - before[name] for name in counts if counts[name] > before[name]}
        if told := _times(acted, OVERLOADED):
            detail = f"limits reached in the last {WINDOW_S} s: {told}; the rest is refused early (503)"
            self._alarms.up("overloaded", detail)
        else:
            self._alarms.down("overloaded")
        self._look_at_places(_times(acted, SATURATED), now_ns)

    def _look_at_places(self, told: str, now_ns: int) -> None:
        if not told and not self._saturated:
            return
        documents = self._worker_stats.holdings(now_ns)
        self._saturated = bool(told) or any(document["full"] for document in documents)
        if self._saturated:
            refused = f"limits reached in the last {WINDOW_S} s: {told}" if told else "no place is left, nobody asks"
            self._alarms.up("saturated", f"{refused}; {in_words(merged(documents))}")
        else:
            self._alarms.down("saturated")


def _times(acted: Mapping[str, int], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {acted[name]} times" for name in names if name in acted)


def merged(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what all workers hold by service and version, most first: `{service, version, tunnels, streams, waiting, sending,
    clients}`, with the CLIENTS_MAX clients that hold the most. A client that is not among a worker's first few is missing there.
    """
    targets: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        for told in document["targets"]:
            key = (told["service"], told["version"])
            held = targets.setdefault(key, {"service": key[0], "version": key[1], **dict.fromkeys(_KINDS, 0), "by": {}})
            _add(held, told)
            for client in told["clients"]:
                _add(held["by"].setdefault(client["client"], dict.fromkeys(_KINDS, 0)), client)
    for held in targets.values():
        clients = [{"client": name, **counts} for name, counts in held.pop("by").items()]
        held["clients"] = sorted(clients, key=_sum, reverse=True)[:CLIENTS_MAX]
    return sorted(targets.values(), key=_sum, reverse=True)


def in_words(targets: list[dict[str, Any]]) -> str:
    """Return one line of who holds what."""
    if not targets:
        return "no worker says who holds its places"
    told = [f"{held['service']} {held['version']} holds {_kinds(held)}{_most(held)}" for held in targets[:_TOLD_MAX]]
    more = len(targets) - _TOLD_MAX
    return "; ".join([*told, *([f"{more} more versions"] if more > 0 else [])])


def _add(sums: dict[str, Any], counts: Mapping[str, Any]) -> None:
    for kind in _KINDS:
        sums[kind] += counts[kind]


def _sum(counts: Mapping[str, Any]) -> int:
    return sum(counts[kind] for kind in _KINDS)


def _kinds(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]) or "nothing"


def _most(held: Mapping[str, Any]) -> str:
    clients = [f"{client['client']} {_sum(client)}" for client in held["clients"]]
    return f" (of these {', '.join(clients)})" if clients else ""
