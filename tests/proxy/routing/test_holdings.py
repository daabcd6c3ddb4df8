"""What control is told of who holds places is bounded, however many versions and clients there are."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from router.proxy.routing.holdings import CLIENTS_MAX, TARGETS_MAX, document
from router.shm import layout as at


def exchange(client: str, **state: Any) -> Any:
    plain = {"answered": False, "status": 0, "request_sent": False}
    return SimpleNamespace(**(plain | state), downstream=SimpleNamespace(client=client))


def service(name: str, *targets: Any) -> Any:
    return SimpleNamespace(options=SimpleNamespace(name=name), targets=dict(enumerate(targets)), draining=[])


def test_each_kind_is_counted_and_a_64_is_one_client() -> None:
    held = [
        exchange("2001:db8::1", answered=True, status=101),
        exchange("2001:db8::2", answered=True, status=200),
        exchange("2001:db8::3", request_sent=True),
        exchange("192.0.2.1"),
    ]
    told = document([service("fraud", SimpleNamespace(version="v8", in_flight=held))], False)
    assert told["targets"] == [
        {
            "service": "fraud",
            "version": "v8",
            "tunnels": 1,
            "streams": 1,
            "waiting": 1,
            "sending": 1,
            "clients": [
                {"client": "2001:db8::/64", "tunnels": 1, "streams": 1, "waiting": 1, "sending": 0},
                {"client": "192.0.2.1", "tunnels": 0, "streams": 0, "waiting": 0, "sending": 1},
            ],
        }
    ]


def test_the_longest_document_fits() -> None:
    many = [exchange(f"2001:db8:{number:x}:ffff:ffff:ffff:ffff:ffff") for number in range(100)]
    services = [service("é" * 999, SimpleNamespace(version="é" * 999, in_flight=many)) for _ in range(2 * TARGETS_MAX)]
    told = document(services, True)
    assert (len(told["targets"]), len(told["targets"][0]["clients"])) == (TARGETS_MAX, CLIENTS_MAX)
    assert len(json.dumps(told)) < at.HOLDINGS_BYTES_MAX
