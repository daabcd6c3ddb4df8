"""One short row of a service, for the list of all: 64 of them are made each second, and their changes are sent."""

from __future__ import annotations

from math import floor, log10

from router.control.addon import Document
from router.control.core.service_controller import ServiceController
from router.control.views import status
from router.runtime import clock

WINDOW_S = 60.0
DIGITS = 3
"""Significant digits of a figure in a row: a figure that changes less is not sent again."""


def row(service_controller: ServiceController, now_ns: int) -> Document:
    """Return the row of a service; figures are those of the active version in the last WINDOW_S."""
    registry = service_controller.registry
    active = registry.active
    slot = active.slot if active is not None else None
    found = status.window(service_controller, slot, WINDOW_S, now_ns) if slot is not None else None
    return {
        "state": status.state(service_controller),
        **service_controller.roles(),
        "way_back": service_controller.machine.gate.no_standby_reason() is None,
        "since": clock.iso(active.since) if active is not None else None,
        **{
            name: rounded(found[name]) if found is not None else None
            for name in ("requests_per_s", "fault_rate", "p99_ms")
        },
    }


def rounded(value: float | None) -> float | None:
    """Return a figure with DIGITS significant digits; None for None."""
    if not value:
        return value
    return round(value, DIGITS - 1 - floor(log10(abs(value))))
