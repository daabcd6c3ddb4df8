"""Describes for operators which clients hold the places of a worker, by version and kind.

An exchange is a *tunnel* (a WebSocket), a *stream* (its response has begun), *waiting* for the first byte of its response, or
*sending* (the backend does not have the whole request: an upload, or a connection that is being opened).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from router.proxy.addresses import client_of
from router.proxy.routing.limited import LimitedExchange, LimitedService, LimitedTarget

KINDS: Final = ("tunnels", "streams", "waiting", "sending")
CLIENTS_MAX: Final = 5
TARGETS_MAX: Final = 16
_LABEL_CHARS_MAX: Final = 128


def document(services: Iterable[LimitedService], full: bool) -> dict[str, Any]:
    """Return `{full, targets: [{service, version, tunnels, streams, waiting, sending, clients: [{client, …the same kinds}]}]}`:
    at most TARGETS_MAX versions with at most CLIENTS_MAX clients, those that hold the most. `full`: some limit is reached.
    """
    serving = [
        (service.options.name, target)
        for service in services
        for target in (*service.targets.values(), *service.draining)
        if target.in_flight
    ]
    serving.sort(key=lambda pair: -len(pair[1].in_flight))
    return {"full": full, "targets": [_target(name, target) for name, target in serving[:TARGETS_MAX]]}


def _target(service: str, target: LimitedTarget) -> dict[str, Any]:
    clients: dict[str, list[int]] = {}
    for exchange in target.in_flight:
        clients.setdefault(exchange.downstream.client, [0] * len(KINDS))[_kind(exchange)] += 1
    by_client: dict[str, list[int]] = {}
    for address, counts in clients.items():
        sums = by_client.setdefault(client_of(address), [0] * len(KINDS))
        for kind, count in enumerate(counts):
            sums[kind] += count
    most = sorted(by_client.items(), key=lambda item: -sum(item[1]))[:CLIENTS_MAX]
    return {
        "service": service[:_LABEL_CHARS_MAX],
        "version": target.version[:_LABEL_CHARS_MAX],
        **_named([sum(column) for column in zip(*by_client.values(), strict=True)]),
        "clients": [{"client": client, **_named(counts)} for client, counts in most],
    }


def _named(counts: list[int]) -> dict[str, int]:
    return dict(zip(KINDS, counts, strict=True))


def _kind(exchange: LimitedExchange) -> int:
    if exchange.answered:
        return 0 if exchange.status == 101 else 1
    return 2 if exchange.request_sent else 3
