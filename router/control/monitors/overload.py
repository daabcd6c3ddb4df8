"""Raises an alarm while limits that protect a worker from all clients together refuse requests.

`overloaded`: connections, requests or descriptors of a worker are exhausted. `saturated`: the places of a target are taken by
tunnels, streams or waiting requests; the alarm lists how many places each version and client holds. Workers publish these
numbers once a second while they refuse (proxy/routing/holdings.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final

from router.control.monitors.alarms import Alarms
from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted
from router.shm.worker_stats import WorkerStats

OVERLOADED: Final = ("connections_max", "requests_max", "descriptors")
SATURATED: Final = ("in_flight_max", "connect_waits_max", "tunnels", "client_share", "client_share_cut")
"""Limits on a single client raise no alarm: they exist to protect the other clients. A client's share is an exception, as it is
limited only while other clients are refused.
"""
WINDOW_S: Final = 10
CLIENTS_MAX: Final = 5
_KINDS: Final = ("tunnels", "streams", "waiting", "sending")
_SHOWN_MAX: Final = 4
"""Versions in the text of an alarm; `status` lists all."""


class OverloadMonitor:
    """Reads the workers' counters once a second.

    An alarm ends after WINDOW_S without a refusal; `saturated` also lasts while a worker reports that no place is left.
    """

    def __init__(self, worker_stats: WorkerStats, alarms: Alarms) -> None:
        self._worker_stats = worker_stats
        self._alarms = alarms
        self._saturated = False
        self._seconds: deque[tuple[int, dict[str, int]]] = deque(maxlen=WINDOW_S + 1)

    def check(self, now_ns: int) -> None:
        """Raise or end the alarms `overloaded` and `saturated`."""
        if self._seconds and now_ns - self._seconds[-1][0] < SECOND_NS:
            return
        counts = self._worker_stats.limited()
        self._seconds.append((now_ns, counts))
        before = self._seconds[0][1]
        acted = {name: counts[name] - before[name] for name in counts if counts[name] > before[name]}
        if limits := _times(acted, OVERLOADED):
            detail = f"limits reached in the last {WINDOW_S} s: {limits}; the rest is refused early (503)"
            self._alarms.up("overloaded", detail)
        else:
            self._alarms.down("overloaded")
        self._check_places(_times(acted, SATURATED), now_ns)

    def _check_places(self, limits: str, now_ns: int) -> None:
        if not limits and not self._saturated:
            return
        documents = self._worker_stats.holdings(now_ns)
        self._saturated = bool(limits) or any(document["full"] for document in documents)
        if self._saturated:
            refused = (
                f"limits reached in the last {WINDOW_S} s: {limits}"
                if limits
                else "no place is left, and no request was refused"
            )
            self._alarms.up("saturated", f"{refused}; {in_words(merged(documents))}")
        else:
            self._alarms.down("saturated")


def _times(acted: Mapping[str, int], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {counted(acted[name], 'time')}" for name in names if name in acted)


def merged(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the places taken in all workers by service and version, most first: `{service, version, tunnels, streams, waiting,
    sending, clients}`, with the CLIENTS_MAX clients that hold the most. Each worker reports only its largest clients.
    """
    targets: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        for target in document["targets"]:
            key = (target["service"], target["version"])
            places = targets.setdefault(
                key, {"service": key[0], "version": key[1], **dict.fromkeys(_KINDS, 0), "by": {}}
            )
            _add(places, target)
            for client in target["clients"]:
                _add(places["by"].setdefault(client["client"], dict.fromkeys(_KINDS, 0)), client)
    for places in targets.values():
        clients = [{"client": name, **counts} for name, counts in places.pop("by").items()]
        places["clients"] = sorted(clients, key=_sum, reverse=True)[:CLIENTS_MAX]
    return sorted(targets.values(), key=_sum, reverse=True)


def in_words(targets: list[dict[str, Any]]) -> str:
    """Return one line: the places that each version and its largest clients hold."""
    if not targets:
        return "no worker reports the holders of its places"
    shown = [
        f"{places['service']} {places['version']} holds {_kinds(places)}{_most(places)}"
        for places in targets[:_SHOWN_MAX]
    ]
    more = len(targets) - _SHOWN_MAX
    return "; ".join([*shown, *([f"{more} more versions"] if more > 0 else [])])


def _add(sums: dict[str, Any], counts: Mapping[str, Any]) -> None:
    for kind in _KINDS:
        sums[kind] += counts[kind]


def _sum(counts: Mapping[str, Any]) -> int:
    return sum(counts[kind] for kind in _KINDS)


def _kinds(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]) or "nothing"


def _most(places: Mapping[str, Any]) -> str:
    clients = [f"{client['client']} {_sum(client)}" for client in places["clients"]]
    return f" (of these {', '.join(clients)})" if clients else ""
