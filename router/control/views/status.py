"""The status documents of workers and services: roles, targets, windows, verdict, gate. Times are RFC 3339."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.control.addon import Document
from router.control.core.probes import Probes
from router.control.core.service_controller import ServiceController
from router.control.monitors.refused_answers import cause_text
from router.control.views import endpoints, headline, triggers, work
from router.control.views.answers import ProgressStatus, ReplicaStatus, TargetWindow, WorkerStatus
from router.rollout.model.target import CANDIDATES, Target
from router.rollout.outcome import OUTCOMES
from router.rollout.placement.slot_table import SlotHolder
from router.rollout.stats.figures import fault_count_text
from router.rollout.stats.histogram import quantile
from router.rollout.work import WorkEnd
from router.runtime import clock
from router.runtime.text.plurals import counted
from router.shm import layout as at
from router.shm.worker_stats import WorkerState, WorkerStats

MINUTE: Final = "60s"
WINDOWS: Final = (("10s", 10.0), (MINUTE, 60.0))
RECENT_S: Final = 2.0
RECENT_FAULTS_MIN: Final = 5
RECENT_SHARE: Final = 0.5
"""From this share of faults in the last RECENT_S on a version does not work, whether a trigger fails or not."""
WANTING_S: Final = 10.0
"""A version without a useful answer for this long is not said to work while requests wait or were lost."""
UP_S: Final = 1.0
"""Seconds after its last heartbeat in which a worker counts as up."""


def worker(state: WorkerState, now_ns: int) -> WorkerStatus:
    """Return one worker, from its own words in shared memory."""
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


def service(service_controller: ServiceController, worker_stats: WorkerStats, probes: Probes, now_ns: int) -> Document:
    """Return one service: `/v1/services/{service}`."""
    registry, executor = service_controller.registry, service_controller.executor
    accepted, ended = worker_stats.exchanges(executor.index)
    targets = [_target(service_controller, holder, worker_stats, probes, now_ns) for holder in executor.held.holders()]
    no_way_back = service_controller.machine.gate.no_standby_reason()
    frozen = registry.frozen
    return {
        "service": service_controller.name,
        "generation": registry.generation,
        "state": state(service_controller),
        "observe": service_controller.observation is not None,
        **service_controller.roles(),
        "way_back": no_way_back is None,
        "no_way_back": no_way_back,
        "frozen": {**frozen, "at": clock.iso(frozen["at"])} if frozen else None,
        "held": service_controller.machine.blocked_reason,
        "targets": targets,
        "progress": work.progress(service_controller, now_ns),
        "exchanges": {
            "accepted": accepted,
            "in_flight": accepted - sum(ended),
            "ended": {outcome.label: ended[outcome] for outcome in OUTCOMES},
        },
        "rescued": worker_stats.rescued(executor.index),
        "last_switch": _last_switch(service_controller),
        "verdict": {
            "state": service_controller.verdict.state,
            "triggers": [
                {"kind": result.kind, "detail": result.detail, "state": result.state, "reason": result.reason}
                for result in service_controller.verdict.results
            ],
        },
        "baseline": _baseline(service_controller),
        "acceptance": _acceptance(service_controller, now_ns),
    }


def state(service_controller: ServiceController) -> str:
    """Return the state of a service in one word."""
    registry = service_controller.registry
    active = registry.active
    if active is None:
        return "no_active"
    if service_controller.machine.blocked_reason is not None:
        return "no_better_target"
    if registry.in_drill:
        return "drill"
    if any(holder.target.bounded for holder in service_controller.executor.held.holders()):
        return "rolling_back"
    return "accepted" if active.accepted else "probation"


def _last_switch(service_controller: ServiceController) -> Document | None:
    last = service_controller.registry.last_switch
    if last is None:
        return None
    journalled = last["generation"] not in service_controller.executor.unjournalled
    return {**last, "at": clock.iso(last["at"]), "journalled": journalled}


def _baseline(service_controller: ServiceController) -> Document | None:
    baseline = service_controller.registry.baseline
    if baseline is None:
        return None
    return {name: baseline[name] for name in ("requests", "faults", "rate", "lower", "upper")}


def _acceptance(service_controller: ServiceController, now_ns: int) -> Document:
    rules, active = service_controller.service.acceptance, service_controller.registry.active
    requests, seconds = service_controller.judge.acceptance(now_ns)
    return {
        "accepted": active is not None and active.accepted,
        "requests": requests,
        "requests_needed": rules.requests_min,
        "seconds": round(seconds, 1),
        "seconds_needed": rules.after_s,
        "criteria": [criterion.as_dict() for criterion in service_controller.criteria(now_ns)],
    }


def _target(
    service_controller: ServiceController, holder: SlotHolder, worker_stats: WorkerStats, probes: Probes, now_ns: int
) -> Document:
    target, slot = holder.target, holder.slot
    streaks = service_controller.machine.streaks
    counts = service_controller.executor.counters.scalars(slot)
    oldest_ns = counts[at.L_OLDEST_WAITING_NS]
    mark = service_controller.registry.quarantines.get(target.version)
    identity = service_controller.registry.identities.get(target.version)
    in_flight = worker_stats.slot_in_flight(service_controller.executor.index, slot)
    windows = {name: window(service_controller, slot, seconds, now_ns) for name, seconds in WINDOWS}
    last_useful_age_s, asked_since_useful = work.since_useful(service_controller, slot, now_ns)
    return {
        "version": target.version,
        "slot": slot,
        "role": holder.role,
        "state": target.state.value,
        "ready": streaks.ready(target),
        "endpoints": endpoints.of_version(service_controller, holder, probes, windows[MINUTE], in_flight),
        "replicas": _replicas(service_controller, slot),
        "endpoints_good": streaks.good_endpoints(target),
        "probe_failure": _probe_failure(service_controller, target),
        "identity": identity.as_dict() if identity is not None else None,
        "rewrite": target.rewrite.as_dict(),
        "good_probes": streaks.fewest_good(target),
        "good_probes_needed": service_controller.machine.limits.warmup_probes if target.state in CANDIDATES else None,
        "quarantined": mark["reason"] if mark else None,
        "in_flight": in_flight,
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
            "refused_answers": {
                cause: counts[at.L_REFUSED_ANSWERS + number]
                for number, cause in enumerate(at.REFUSED_ANSWERS)
                if counts[at.L_REFUSED_ANSWERS + number]
            },
        },
        "windows": windows,
        "work": work.of_version(service_controller, slot, now_ns),
        "last_useful_age_s": last_useful_age_s,
        "asked_since_useful": asked_since_useful,
    }


def _replicas(service_controller: ServiceController, slot: int) -> list[ReplicaStatus]:
    states = service_controller.replica_monitor.states(slot)
    if len(states) < 2:
        return []
    return [
        {
            "name": state.name,
            "in_flight": state.row.open,
            "attempts": state.row.attempts,
            "faults": state.row.faults,
            "faults_in_a_row": state.row.in_a_row,
            "probe_fails": state.red,
            "ejected_for_s": round(state.ejected_for_s, 1) or None,
        }
        for state in states
    ]


def recent_faults(service_controller: ServiceController, target: Target, now_ns: int) -> str | None:
    """Return the faults of the last seconds if they are most of the requests; None otherwise. No trigger has to fail yet."""
    slot = service_controller.executor.held.slot_of(target)
    found = service_controller.judge.window(slot, RECENT_S, now_ns) if slot is not None else None
    if found is None or found.failed < RECENT_FAULTS_MIN or (found.failed_share or 0.0) < RECENT_SHARE:
        return None
    cause = cause_text(service_controller.refused_answers.recent())
    return f"{fault_count_text(found.failed, found.requests)} in the last {RECENT_S:g} s{cause and f'; {cause}'}"


def _probe_failure(service_controller: ServiceController, target: Target) -> str | None:
    """Return what is wrong with the newest probes; an endpoint that works does not hide one that fails."""
    streaks = service_controller.machine.streaks
    failing, limits = streaks.failing(target), service_controller.machine.limits
    if failing:
        what = "its inference probe" if limits.inference else "its probe"
        return f"{what} fails on {len(failing)} of {counted(len(target.endpoints), 'endpoint')}: {streaks.detail(target.version)}"
    if unauthorised := streaks.unauthorised(target):
        return f"its probe is answered 401 or 403, so the model is not checked: {', '.join(unauthorised)}"
    return None


def window(service_controller: ServiceController, slot: int, seconds: float, now_ns: int) -> TargetWindow | None:
    """Return the figures of a slot in the last `seconds`; None without data. Times are to the first byte of begun responses."""
    found = service_controller.judge.window(slot, seconds, now_ns, histograms=True) or service_controller.judge.window(
        slot, seconds, now_ns
    )
    if found is None:
        return None
    done = service_controller.judge.work_window(slot, found, service_controller.work_buckets.buckets)
    p50_ms, p95_ms, p99_ms = _times_ms(found.first_byte)
    useful_p50_ms, useful_p95_ms, useful_p99_ms = _times_ms(found.first_useful)
    return {
        "asked": found.claimed,
        "useful": done.useful if done is not None else None,
        "without_use": sum(done.ends) - done.useful if done is not None else None,
        "given_up": done.ends[WorkEnd.GONE_EARLY] + done.ends[WorkEnd.GONE_LATE] if done is not None else None,
        "requests": found.requests,
        "faults": found.failed,
        "fault_rate": found.failed_share,
        "requests_per_s": round(found.requests / found.covered_s, 3) if found.covered_s > 0 else None,
        "p50_ms": p50_ms,
        "p95_ms": p95_ms,
        "p99_ms": p99_ms,
        "useful_p50_ms": useful_p50_ms,
        "useful_p95_ms": useful_p95_ms,
        "useful_p99_ms": useful_p99_ms,
    }


def _times_ms(times: Sequence[int] | None) -> list[float | None]:
    """Return p50, p95 and p99 of a histogram in milliseconds; None without counts."""
    found = (quantile(times or (), share) for share in (0.5, 0.95, 0.99))
    return [None if time_us is None else round(time_us / 1000, 3) for time_us in found]


def explain(service_controller: ServiceController, now_ns: int) -> Document:
    """Return why automation did or did not act: `/v1/services/{service}/explain`."""
    registry, verdict, rules = service_controller.registry, service_controller.verdict, service_controller.service.rules
    obstacles = service_controller.machine.gate.objections(service_controller.shares(now_ns))
    active, slot = registry.active, service_controller.active_slot
    return {
        "service": service_controller.name,
        "active": active.version if active else None,
        "generation": registry.generation,
        "frozen": registry.frozen is not None,
        "unwell": service_controller.unwell,
        "verdict": verdict.state,
        "triggers": triggers.explained(service_controller, now_ns),
        "rules": {"latency": {name: getattr(rules.latency, name) for name in ("slo_ms", "slo_on", "slo_share")}},
        "gate": {"would_pass": not obstacles, "reasons": obstacles},
        "acceptance": [criterion.as_dict() for criterion in service_controller.criteria(now_ns)],
        "work": work.of_version(service_controller, slot, now_ns) if slot is not None else [],
        "progress": work.progress(service_controller, now_ns),
        "summary": _summary(service_controller, obstacles, now_ns),
    }


def _summary(service_controller: ServiceController, obstacles: list[str], now_ns: int) -> str:
    active, standby = service_controller.registry.active, service_controller.registry.standby
    if active is None:
        return f"Service {service_controller.name} has no active version."
    failing = service_controller.verdict.failing
    observed = next((result for result in service_controller.verdict.observing if result.action == "observe"), None)
    if service_controller.observation is not None and observed is not None:
        return f"{active.version} fails ({observed.reason}), and the router only observes: nothing is rolled back."
    if failing is not None:
        goes = "the drill swaps back" if service_controller.registry.in_drill else "is being rolled back"
        act = f"but the rollback is blocked: {'; '.join(obstacles)}" if obstacles else f"and {goes}"
        return f"{active.version} fails ({failing.reason}), {act}."
    waiting = next(
        (proposal for proposal in service_controller.registry.proposals.pending() if proposal.kind == "rollback"), None
    )
    if waiting is not None:
        return f"{waiting.version} may have to go back ({waiting.reason}); {waiting.id} waits for an operator."
    near = next((result for result in service_controller.verdict.results if result.state == "fail"), None)
    if near is not None:
        return f"{active.version} may be failing: {near.reason}; {near.distance}."
    forgiven = service_controller.service.rules.forgive_s
    if (recent := recent_faults(service_controller, active, now_ns)) is not None:
        return f"{active.version} may be failing: {recent}; one burst of {forgiven:g} s is forgiven."
    wrong = _probe_failure(service_controller, active)
    missing = service_controller.machine.gate.no_standby_reason()
    back = (
        f"no rollback is possible: {missing}"
        if missing or standby is None
        else f"a rollback to {standby.version} is possible"
    )
    found = work.progress(service_controller, now_ns)
    if found is not None and found["wanting"] and _is_useless(service_controller, found, now_ns):
        return f"{work.sentence(active.version, found)}; {back}."
    if wrong is not None:
        return f"{active.version} may be failing: {wrong}; {back}."
    if service_controller.verdict.state == "pass":
        return f"{active.version} works; {back}."
    return f"Too few requests for a verdict on {active.version}; {back}."


def _is_useless(service_controller: ServiceController, found: ProgressStatus, now_ns: int) -> bool:
    """Return whether the headline says so, or the wait is a long one of fewer requests."""
    if found["since_s"] >= min(WANTING_S, found["limit_s"]):
        return True
    slot = service_controller.active_slot
    if slot is None:
        return False
    _, asked = work.since_useful(service_controller, slot, now_ns)
    return headline.is_quiet(found["since_s"], work.median_s(service_controller, slot, now_ns), asked or 0)


def incident(record: Document) -> Document:
    """Return the record of an incident with RFC 3339 times."""
    times = {
        name: clock.iso(record[name]) if record[name] is not None else None for name in ("started_at", "detection_at")
    }
    return {**record, **times}
