"""Collects what the headline of a service is chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.control.core.service_controller import ServiceController
from router.control.views import status, work
from router.control.views.headline import IDLE_S, ServiceSituation
from router.rollout.judge.verdict import TriggerResult
from router.rollout.units import SECOND_NS
from router.runtime import clock


def situation(service_controller: ServiceController, now_ns: int, incident: str | None = None) -> ServiceSituation:
    """Return the situation of a service; `incident`: that of its last rollback, while it is not closed."""
    registry, verdict = service_controller.registry, service_controller.verdict
    gate = service_controller.machine.gate
    active, standby, at_s = registry.active, registry.standby, clock.wall_s()
    slot = service_controller.active_slot
    if active is None or slot is None:
        return ServiceSituation(at=at_s)
    near = next((result for result in verdict.results if result.state == "fail" and not result.failing), None)
    recent = status.recent_faults(service_controller, active, now_ns)
    observed = next((result for result in verdict.observing if result.action == "observe"), None)
    requests, seconds = service_controller.judge.acceptance(now_ns)
    acceptance = service_controller.service.acceptance
    window = service_controller.judge.window(slot, IDLE_S, now_ns)
    newest = service_controller.judge.newest(slot)
    last_begun_ns = newest[0].sample.last_begun_ns if newest is not None else 0
    return ServiceSituation(
        at=at_s,
        active=active.version,
        standby=standby.version if standby is not None else None,
        since=active.since,
        last_switch=registry.last_switch,
        no_way_back=gate.no_standby_reason(),
        objections=tuple(gate.objections(service_controller.shares(now_ns))),
        verdict=verdict.state,
        failing=verdict.failing.reason if verdict.failing is not None else None,
        held=service_controller.machine.blocked_reason,
        near=near.reason if near is not None else recent,
        near_distance=near.distance if near is not None else "",
        observed=observed.reason if observed is not None else None,
        incident=incident,
        proposal=_proposal(service_controller),
        frozen=registry.frozen,
        on_probation=not active.accepted and not registry.in_drill,
        probation_left_s=acceptance.after_s - seconds,
        probation_requests=requests,
        probation_requests_needed=acceptance.requests_min,
        last_request_age_s=max(0, now_ns - last_begun_ns) / SECOND_NS if last_begun_ns else None,
        requests=window.claimed + newest[0].sample.waiting if window is not None and newest is not None else None,
        **_drill(service_controller, now_ns),
        **_progress(service_controller, verdict.results, slot, now_ns),
    )


def _proposal(service_controller: ServiceController) -> Mapping[str, Any] | None:
    proposal = next(iter(service_controller.registry.proposals.pending()), None)
    if proposal is None:
        return None
    names = ("id", "kind", "to", "opened_by", "reason", "expires_at")
    return {name: getattr(proposal, name) for name in names}


def _drill(service_controller: ServiceController, now_ns: int) -> dict[str, Any]:
    registry = service_controller.registry
    if registry.drill is None or not registry.in_drill:
        return {}
    passed_s = (now_ns - registry.active_since_ns) / SECOND_NS
    return {"drill_home": registry.drill["from"], "drill_left_s": registry.drill["hold_s"] - passed_s}


def _progress(
    service_controller: ServiceController, results: tuple[TriggerResult, ...], slot: int, now_ns: int
) -> dict[str, Any]:
    """Return since when nothing is useful, and how often the version was asked since."""
    found = work.progress(service_controller, now_ns)
    if found is None or not found["wanting"]:
        return {}
    _, asked = work.since_useful(service_controller, slot, now_ns)
    acting = next((result for result in results if result.detail == "no_progress"), None)
    acts_in_s = None
    if acting is not None and acting.value is not None and acting.limit is not None:
        acts_in_s = max(0.0, acting.limit - acting.value)
    return {
        "quiet_s": found["since_s"],
        "median_s": work.median_s(service_controller, slot, now_ns),
        "asked_since": asked or 0,
        "waiting": found["waiting"],
        "acts_in_s": acts_in_s,
    }
