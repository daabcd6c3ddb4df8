"""One short row of a service, for the list of all: 64 of them are made each second, and their changes are sent."""

from __future__ import annotations

from math import floor, log10

from router.control.addon import Document
from router.control.core.service_controller import ServiceController
from router.control.views import status
from router.control.views.headline import HeadlineDocument

WINDOW_S = 60.0
DIGITS = 3
"""Significant digits of a figure in a row: a figure that changes less is not sent again."""


def row(service_controller: ServiceController, headline: HeadlineDocument, now_ns: int) -> Document:
    """Return the row of a service with its `headline`; figures are those of the active version in the last WINDOW_S."""
    slot = service_controller.active_slot
    found = status.window(service_controller, slot, WINDOW_S, now_ns) if slot is not None else None
    per_s, useful_per_s = found["requests_per_s"] if found is not None else None, None
    if found is not None and per_s is not None and found["useful"] is not None:
        # By the same time as the requests: seconds in which the router stalled count in neither.
        useful_per_s = per_s * found["useful"] / found["requests"] if found["requests"] else 0.0
    return {
        "level": headline["level"],
        "state": headline["state"],
        "line": headline["line"],
        "since": headline["since"],
        **service_controller.roles(),
        "way_back": service_controller.machine.gate.no_standby_reason() is None,
        "requests_per_s": rounded(per_s),
        "useful_per_s": rounded(useful_per_s),
        "fault_rate": rounded(found["fault_rate"]) if found is not None else None,
        "p99_ms": rounded(found["p99_ms"]) if found is not None else None,
    }


def rounded(value: float | None) -> float | None:
    """Return a figure with DIGITS significant digits; None for None."""
    if not value:
        return value
    return round(value, DIGITS - 1 - floor(log10(abs(value))))
