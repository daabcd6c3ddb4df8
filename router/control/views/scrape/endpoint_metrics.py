"""The metrics of endpoints: what each address of a version was asked, and how it answered.

A version with one address has the counters of the version. A scrape has at most ENDPOINTS_MAX endpoints, so the number of
series is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Document
from router.control.views.metric_table import counter, gauge
from router.rollout.outcome import FAULTS
from router.runtime.printable import printable

ENDPOINTS_MAX: Final = 1000
_LABEL_CHARS_MAX: Final = 128
_ROLES: Final = ("active", "standby", "candidate")
Labels = tuple[str, str, str]


@dataclass(slots=True)
class _Endpoint:
    """The figures of an endpoint. `ejected` and `ready` None: not known."""

    attempts: int = 0
    faults: int = 0
    in_flight: int = 0
    ejected: bool = False
    counted: bool = False
    ready: bool | None = None


def endpoint_metrics(services: Mapping[str, Document]) -> Iterator[Metric]:
    """Yield the metrics of all services' documents; if there are too many endpoints, those of active versions first."""
    found = _found(services)
    attempts, faults = counter("endpoint_attempts"), counter("endpoint_faults")
    in_flight, ejected = gauge("endpoint_in_flight_requests"), gauge("endpoint_ejected")
    ready, left_out = gauge("endpoint_ready"), gauge("endpoints_left_out")
    for labels, endpoint in list(found.items())[:ENDPOINTS_MAX]:
        if endpoint.counted:
            attempts.add_metric(labels, endpoint.attempts)
            faults.add_metric(labels, endpoint.faults)
            in_flight.add_metric(labels, endpoint.in_flight)
            ejected.add_metric(labels, float(endpoint.ejected))
        if endpoint.ready is not None:
            ready.add_metric(labels, float(endpoint.ready))
    left_out.add_metric([], max(0, len(found) - ENDPOINTS_MAX))
    yield from (attempts, faults, in_flight, ejected, ready, left_out)


def _found(services: Mapping[str, Document]) -> dict[Labels, _Endpoint]:
    """Return all endpoints, by role. A version that drains in a second slot counts once: both are added."""
    found: dict[Labels, _Endpoint] = {}
    targets = [(name, target) for name, service in services.items() for target in service["targets"]]
    for name, target in sorted(targets, key=lambda pair: _rank(pair[1])):
        for endpoint, attempts, faults, in_flight, ejected in _counts(target):
            known = found.setdefault(_labels(name, target, endpoint), _Endpoint())
            known.counted = True
            known.attempts += attempts
            known.faults += faults
            known.in_flight += in_flight
            known.ejected |= ejected
        for probed in target["endpoints"]:
            known = found.setdefault(_labels(name, target, probed["url"]), _Endpoint())
            known.ready = bool(known.ready) or probed["ready"]
    return found


def _rank(target: Document) -> int:
    return _ROLES.index(target["role"]) if target["role"] in _ROLES else len(_ROLES)


def _counts(target: Document) -> Iterator[tuple[str, int, int, int, bool]]:
    """Yield (endpoint, attempts, faults, in flight, ejected)."""
    for replica in target["replicas"]:
        ejected = replica["ejected_for_s"] is not None
        yield replica["name"], replica["attempts"], replica["faults"], replica["in_flight"], ejected
    if not target["replicas"] and len(target["endpoints"]) == 1:
        totals = target["totals"]
        faults = sum(totals["outcomes"].get(outcome.label, 0) for outcome in FAULTS)
        yield target["endpoints"][0]["url"], totals["attempts"], faults, target["in_flight"], False


def _labels(service: str, target: Document, endpoint: str) -> Labels:
    return service, printable(target["version"])[:_LABEL_CHARS_MAX], printable(endpoint)[:_LABEL_CHARS_MAX]
