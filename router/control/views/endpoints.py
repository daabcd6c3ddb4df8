"""The endpoints of a version: their probes, and the traffic of the last minute as the workers counted it."""

from __future__ import annotations

from router.control.core.probes import Probes
from router.control.core.service_controller import ServiceController
from router.control.monitors.replica_monitor import ReplicaState
from router.control.views.answers import EndpointStatus, TargetWindow
from router.rollout.placement.slot_table import SlotHolder
from router.runtime import clock


def of_version(
    service_controller: ServiceController,
    holder: SlotHolder,
    probes: Probes,
    window: TargetWindow | None,
    in_flight: int,
) -> list[EndpointStatus]:
    """Return the endpoints of a version. `window`: its figures of the last minute; `in_flight`: its requests."""
    probed = probes.targets(service_controller.name, holder.target.version) or [
        {"url": url, "ready": False, "last_probe": None} for url in holder.target.endpoints
    ]
    states = service_controller.replica_monitor.states(holder.slot)
    if not states:
        return [{**one, **_alone(window, in_flight)} for one in probed]  # type: ignore[typeddict-item]  # of _described
    asked = sum(state.recent_attempts for state in states)
    return [{**one, **_traffic(_of(states, str(one["url"])), asked)} for one in probed]  # type: ignore[typeddict-item]


def _of(states: tuple[ReplicaState, ...], url: str) -> list[ReplicaState]:
    """Return the addresses of an endpoint."""
    return [state for state in states if state.name == url or state.name.startswith(f"{url} (")]


def _alone(window: TargetWindow | None, in_flight: int) -> dict[str, object]:
    """Return the traffic of the only address of a version: that of the version."""
    requests = window["requests"] if window is not None else 0
    return {
        "share": 1.0 if requests else None,
        "requests_per_s": window["requests_per_s"] if window is not None else None,
        "fault_rate": window["fault_rate"] if window is not None else None,
        "in_flight": in_flight,
        "ejected_until": None,
    }


def _traffic(states: list[ReplicaState], asked: int) -> dict[str, object]:
    attempts, faults = sum(state.recent_attempts for state in states), sum(state.recent_faults for state in states)
    seconds = max((state.recent_s for state in states), default=0.0)
    ejected_s = min((state.ejected_for_s for state in states), default=0.0)
    return {
        "share": round(attempts / asked, 4) if asked else None,
        "requests_per_s": round(attempts / seconds, 3) if seconds else None,
        "fault_rate": round(faults / attempts, 6) if attempts else None,
        "in_flight": sum(state.row.open for state in states),
        "ejected_until": clock.iso(clock.wall_s() + ejected_s) if ejected_s else None,
    }
