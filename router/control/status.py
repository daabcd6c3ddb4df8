"""What the admin API shows of a service: roles, targets, windows, verdict, gate. Reads only; times are RFC 3339 for people."""

from __future__ import annotations

from typing import Any, Final

from router import clock
from router.control.bench import Bench
from router.control.probes import Probes
from router.rollout.histogram import quantile
from router.rollout.outcome import OUTCOMES
from router.rollout.registry import Registry
from router.rollout.target import CANDIDATES, Target
from router.shm import layout as at
from router.shm.lanes import Lanes, WorkerState

WINDOWS: Final = (("10s", 10.0), ("60s", 60.0))
UP_S: Final = 1.0
"""A worker whose heartbeat is older than this is not shown as up."""
Document = dict[str, Any]


def worker(state: WorkerState, now_ns: int) -> Document:
    """Return what a worker says of itself."""
    age_s = (now_ns - state.heartbeat_ns) / 1e9 if state.heartbeat_ns else None
    return {
        "index": state.index,
        "pid": state.pid or None,
        "up": age_s is not None and age_s < UP_S,
        "heartbeat_age_s": None if age_s is None else round(max(0.0, age_s), 3),
        "loop_lag_s": state.lag_us / 1e6,
        "connections": state.connections,
        "connections_total": state.connections_total,
        "starts": state.starts,
        "draining": state.draining,
    }


def service(bench: Bench, lanes: Lanes, probes: Probes, now_ns: int) -> Document:
    """Return one service: `/v1/services/{service}`."""
    registry, conductor = bench.registry, bench.conductor
    accepted, ended = lanes.exchanges(conductor.index)
    targets = [_target(bench, target, lanes, probes, now_ns) for target in registry.holders()]
    no_way_back = bench.machine.gate.no_way_back()
    frozen = registry.frozen
    return {
        "service": bench.name,
        "generation": registry.generation,
        "state": _state(bench),
        **roles(registry),
        "way_back": no_way_back is None,
        "no_way_back": no_way_back,
        "frozen": {**frozen, "at": clock.iso(frozen["at"])} if frozen else None,
        "held": bench.machine.held,
        "targets": targets,
        "exchanges": {
            "accepted": accepted,
            "in_flight": accepted - sum(ended),
            "ended": {outcome.label: ended[outcome] for outcome in OUTCOMES},
        },
        "rescued": lanes.rescued(conductor.index),
        "last_switch": _last_switch(bench),
        "verdict": {
            "state": bench.verdict.state,
            "triggers": [
                {"kind": result.kind, "detail": result.detail, "state": result.state, "reason": result.reason}
                for result in bench.verdict.results
            ],
        },
        "baseline": _baseline(bench),
        "acceptance": _acceptance(bench, now_ns),
    }


def roles(registry: Registry) -> dict[str, str | None]:
    """Return which version is active, standby and candidate."""
    held = {"active": registry.active, "standby": registry.standby, "candidate": registry.candidate}
    return {role: target.version if target else None for role, target in held.items()}


def _state(bench: Bench) -> str:
    registry = bench.registry
    active = registry.active
    if active is None:
        return "no_active"
    if bench.machine.held is not None:
        return "no_better_target"
    if registry.rehearsing:
        return "drill"
    if any(target.bounded for target in registry.holders()):
        return "rolling_back"
    return "accepted" if active.accepted else "probation"


def _last_switch(bench: Bench) -> Document | None:
    last = bench.registry.last_switch
    if last is None:
        return None
    journalled = last["generation"] not in bench.conductor.unjournalled
    return {**last, "at": clock.iso(last["at"]), "journalled": journalled}


def _baseline(bench: Bench) -> Document | None:
    baseline = bench.registry.baseline
    if baseline is None:
        return None
    return {name: baseline[name] for name in ("requests", "faults", "rate", "lower", "upper")}


def _acceptance(bench: Bench, now_ns: int) -> Document:
    asked, active = bench.service.acceptance, bench.registry.active
    requests, seconds = bench.judge.acceptance(now_ns)
    return {
        "accepted": active is not None and active.accepted,
        "requests": requests,
        "requests_needed": asked.requests_min,
        "seconds": round(seconds, 1),
        "seconds_needed": asked.after_s,
        "criteria": [criterion.as_dict() for criterion in bench.criteria(now_ns)],
    }


def _target(bench: Bench, target: Target, lanes: Lanes, probes: Probes, now_ns: int) -> Document:
    slot = target.slot if target.slot is not None else -1
    streaks = bench.machine.streaks
    counts = bench.conductor.scalars(slot)
    oldest_ns = counts[at.L_OLDEST_WAITING_NS]
    mark = bench.registry.quarantines.get(target.version)
    return {
        "version": target.version,
        "slot": slot,
        "role": target.role,
        "state": target.state.value,
        "ready": streaks.ready(slot, target.endpoints),
        "endpoints": probes.targets(bench.name, slot) or _unprobed(target),
        "good_probes": streaks.shortest(slot, target.endpoints),
        "good_probes_needed": bench.machine.limits.warmup_probes if target.state in CANDIDATES else None,
        "quarantined": mark["reason"] if mark else None,
        "in_flight": lanes.slot_in_flight(bench.conductor.index, slot),
        "waiting": counts[at.L_WAITING],
        "tunnels": counts[at.L_TUNNELS],
        "oldest_waiting_s": round(max(0, now_ns - oldest_ns) / 1e9, 3) if oldest_ns else None,
        "since": clock.iso(target.since),
        "totals": {
            "attempts": counts[at.L_CLAIMED],
            "begun": counts[at.L_BEGUN],
            "rescued": counts[at.L_RESCUED],
            "stale_connections": counts[at.L_STALE_CONNECTION],
            "outcomes": {outcome.label: counts[at.L_OUTCOMES + outcome] for outcome in OUTCOMES},
        },
        "windows": {name: window(bench, slot, seconds, now_ns) for name, seconds in WINDOWS},
    }


def _unprobed(target: Target) -> list[dict[str, object]]:
    return [{"url": url, "ready": False, "last_probe": None} for url in target.endpoints]


def window(bench: Bench, slot: int, seconds: float, now_ns: int) -> Document | None:
    """Return what a slot did in the last `seconds`; None without data. Times are to the first byte of begun responses."""
    found = bench.judge.window(slot, seconds, now_ns, histograms=True) or bench.judge.window(slot, seconds, now_ns)
    if found is None:
        return None
    times = found.first_byte or ()
    p50_us, p99_us = quantile(times, 0.5), quantile(times, 0.99)
    return {
        "requests": found.requests,
        "faults": found.failed,
        "fault_rate": found.failed_share,
        "requests_per_s": round(found.requests / found.covered_s, 3) if found.covered_s > 0 else None,
        "p50_ms": None if p50_us is None else round(p50_us / 1000, 3),
        "p99_ms": None if p99_us is None else round(p99_us / 1000, 3),
    }


def explain(bench: Bench, now_ns: int) -> Document:
    """Return why automation did or did not act: `/v1/services/{service}/explain`."""
    registry, verdict = bench.registry, bench.verdict
    obstacles = bench.machine.gate.obstacles(bench.shares(now_ns))
    active = registry.active
    return {
        "service": bench.name,
        "active": active.version if active else None,
        "generation": registry.generation,
        "frozen": registry.frozen is not None,
        "unwell": bench.unwell,
        "verdict": verdict.state,
        "triggers": [result.as_dict() for result in verdict.results],
        "gate": {"would_pass": not obstacles, "reasons": obstacles},
        "acceptance": [criterion.as_dict() for criterion in bench.criteria(now_ns)],
        "summary": _summary(bench, obstacles),
    }


def _summary(bench: Bench, obstacles: list[str]) -> str:
    active, standby = bench.registry.active, bench.registry.standby
    if active is None:
        return f"Service {bench.name} has no active version."
    failing = bench.verdict.failing
    if failing is not None:
        goes = "the drill goes home" if bench.registry.rehearsing else "is being rolled back"
        act = f"but automation holds: {'; '.join(obstacles)}" if obstacles else f"and {goes}"
        return f"{active.version} fails ({failing.reason}), {act}."
    waiting = next((proposal for proposal in bench.registry.proposals.pending() if proposal.kind == "rollback"), None)
    if waiting is not None:
        return f"{waiting.version} may have to go back ({waiting.reason}); {waiting.id} waits for a person."
    near = next((result for result in bench.verdict.results if result.state == "fail"), None)
    if near is not None:
        return f"{active.version} may be failing: {near.reason}; {near.distance}."
    missing = bench.machine.gate.no_way_back()
    back = f"no way back: {missing}" if missing or standby is None else f"{standby.version} is the way back"
    if bench.verdict.state == "pass":
        return f"{active.version} works; {back}."
    return f"Not enough requests to say how {active.version} does; {back}."


def incident(told: Document) -> Document:
    """Return an incident with times for people."""
    times = {name: clock.iso(told[name]) if told[name] is not None else None for name in ("started_at", "detection_at")}
    return {**told, **times}
