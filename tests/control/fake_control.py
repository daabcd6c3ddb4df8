"""A control without a core: it plays `Queries` and `Operations`, records calls, and answers with documents like the API's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from router.control.addon import Addon
from router.control.admin import app
from router.control.admin.events import EventStreams
from router.control.admin.operation import Operation
from router.control.core.executor import ANYTHING, Preconditions
from router.control.dashboard import routes as dashboard_routes
from router.control.monitors.alarms import Alarms
from router.control.monitors.broadcast import Broadcast, Queue
from router.control.monitors.certificates import CertificateMonitor
from router.control.monitors.switch_stats import SwitchStats
from router.control.store.records.earlier_changes import EarlierChange
from router.control.store.records.request_key import RequestKey
from router.control.versions import routes as version_routes
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.model.events import DeployAsked, Event, RollbackAsked, SwitchAsked
from router.settings.settings import Settings
from router.shm import segment
from router.shm.worker_stats import WorkerStats

EVENTS_MAX = 4


def target(version: str, slot: int, role: str) -> dict[str, Any]:
    window = {"requests": 40, "faults": 1, "fault_rate": 0.025, "requests_per_s": 4.0, "p50_ms": 3.0, "p99_ms": 9.0}
    probed = {"ok": True, "detail": "ok", "ms": 1.5, "age_s": 0.4}
    return {
        "version": version, "slot": slot, "role": role, "state": "active", "ready": True, "good_probes": 7,
        "endpoints": [{"url": f"http://127.0.0.1:900{slot}", "ready": True, "last_probe": probed}],
        "replicas": [
            {
                "name": f"http://127.0.0.{number}:9001", "in_flight": 1, "attempts": 20, "faults": 0, "faults_in_a_row": 0,
                "probe_fails": False, "ejected_for_s": ejected_for_s,
            }
            for number, ejected_for_s in ((1, None), (2, None), (3, 4.5))
        ],
        "in_flight": 2, "waiting": 1, "tunnels": 1, "oldest_waiting_s": 0.25,
        "totals": {"attempts": 42, "begun": 40, "rescued": 0, "outcomes": {"ok": 40}},
        "windows": {"10s": window, "60s": None},
        "work": [
            {
                "bucket": "POST /v1/completions", "inference": True, "asked": 42, "useful": 30, "without_use": {"fault": 9},
                "in_progress": 2, "waiting": 1, "overdue": 0, "oldest_wait_s": 0.25, "last_useful_s": 0.1, "limit_s": None,
                "median_s": None,
            },
        ],
    }  # fmt: skip


def trigger(kind: str, detail: str, state: str, value: float | None, limit: float | None) -> dict[str, Any]:
    return {
        "kind": kind, "detail": detail, "state": state, "failing": False, "action": "rollback", "value": value,
        "limit": limit, "baseline": None, "samples": 40, "window_s": 10.0, "sustained_s": 0.0,
        "sustained_needed_s": 0.0, "reason": "why", "distance": "how far", "evidence_since_ns": None,
    }  # fmt: skip


class FakeControl:
    """Two versions of `fraud`: v2 active, v1 standby. `refusal` or `crash`, if set, is raised by every verb."""

    def __init__(self) -> None:
        self.segment = segment.create(workers=2, services=1)
        self.worker_stats = WorkerStats(self.segment)
        self.switch_stats = SwitchStats(["fraud"])
        self.certificates = CertificateMonitor(Settings(), Alarms())
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[RequestKey | None] = []
        """The key of each change."""
        self.earlier: dict[str, EarlierChange] = {}
        self.refusal: Refusal | None = None
        self.crash: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.feed = Broadcast(EVENTS_MAX)
        self.addons: tuple[Addon, ...] = ()
        self.service: dict[str, Any] = {
            "service": "fraud", "generation": 16777218, "state": "probation", "active": "fraud-v2",
            "standby": "fraud-v1", "candidate": None, "way_back": True, "no_way_back": None, "frozen": None,
            "targets": [target("fraud-v2", 0, "active"), target("fraud-v1", 1, "standby")],
            "progress": {
                "nothing_useful": True, "wanting": True, "since_s": 12.0, "limit_s": 10.0, "waiting": 1, "useful": 30,
                "asked": 42,
            },
            "exchanges": {"accepted": 42, "in_flight": 2, "ended": {"ok": 40}}, "rescued": 0, "last_switch": None,
            "verdict": {"state": "pass", "triggers": []}, "baseline": None,
            "acceptance": {"accepted": False, "requests": 40, "requests_needed": 500, "seconds": 9.0, "seconds_needed": 600.0},
        }  # fmt: skip
        self.triggers = [
            trigger("hard_failure", "errors", "pass", 0.0, 0.9),
            trigger("hard_failure", "hang", "inconclusive", None, 10.0),
            trigger("error_rate", "", "fail", 0.5, 0.05),
            trigger("latency", "", "not_configured", None, None),
        ]
        self.workers = [
            {"index": index, "pid": 100 + index, "up": True, "heartbeat_age_s": 0.05, "loop_lag_s": 0.001,
             "connections": 3, "connections_total": 40, "starts": 1, "draining": False}
            for index in range(2)
        ]  # fmt: skip
        self.blocked: dict[str, Any] | None = None
        self.alarms_up: list[dict[str, Any]] = []

    def close(self) -> None:
        """Free the shared memory."""
        os.close(self.segment.fd)
        self.segment.close()

    # -- reading
    @property
    def control_loop(self) -> FakeControl:
        return self

    def status(self) -> dict[str, Any]:
        self._record("status")
        return {
            "version": "0", "build": "compiled", "boot": 1,
            "control": {"pid": 99, "started_at": "2026-11-22T00:00:00.000Z", "starts": 1},
            "workers": self.workers, "alarms": self.alarms_up,
            "settings": {"origin": "flags", "version": 1, "differences": []},
            "unmatched": {"accepted": 0, "ended": {}}, "services": {"fraud": self.service},
        }  # fmt: skip

    def places(self) -> dict[str, int]:
        return {"fraud": 0}

    def added(self) -> frozenset[str]:
        return frozenset()

    def settings(self) -> dict[str, Any]:
        self._record("settings")
        return {"origin": "flags", "version": 1, "read_at": "2026-11-22T00:00:00.000Z", "settings": {"workers": 2}}

    def service_status(self, service: str) -> dict[str, Any]:
        self._record("service_status", service=service)
        self._known(service)
        return self.service

    def explain(self, service: str) -> dict[str, Any]:
        self._record("explain", service=service)
        self._known(service)
        return {
            "service": service, "active": "fraud-v2", "generation": 16777218, "frozen": None, "verdict": "pass",
            "triggers": self.triggers, "gate": {"would_pass": True, "reasons": []}, "summary": "All is well.",
        }  # fmt: skip

    def quarantined(self) -> list[tuple[str, str]]:
        return [("fraud", "fraud-v1")] if self.blocked else []

    async def versions(self) -> dict[str, Any]:
        self._record("versions")
        return {
            "versions": [
                {"service": "fraud", "version": f"fraud-v{number}", "state": "active", "slot": number, "endpoints": [],
                 "quarantine": self.blocked if number == 1 else None, "unreachable": False, "history": []}
                for number in (1, 2)
            ]
        }  # fmt: skip

    async def journal(
        self, after: int, limit: int, service: str | None, before: int | None = None, *, newest: bool = False
    ) -> dict[str, Any]:
        further = {"before": before, "newest": newest} if newest else {}
        self._record("journal", after=after, limit=limit, service=service, **further)
        return {"entries": []}

    def live(self, service: str) -> dict[str, Any]:
        return {"service": self.service_status(service), "explain": self.explain(service)}

    def live_list(self) -> dict[str, Any]:
        return {"services": {"fraud": {"state": "probation"}}}

    # -- events
    def subscribe(self) -> Queue:
        return self.feed.subscribe()

    def unsubscribe(self, queue: Queue) -> None:
        self.feed.unsubscribe(queue)

    # -- changing
    async def change(
        self,
        service: str,
        event: Event,
        preconditions: Preconditions = ANYTHING,
        *,
        dry_run: bool = False,
        key: RequestKey | None = None,
    ) -> dict[str, Any]:
        self.keys.append(key)
        self._record("change", service=service, event=event, preconditions=preconditions, dry_run=dry_run)
        if self.gate is not None:
            await self.gate.wait()
        self._known(service)
        match event:
            case DeployAsked():
                return {"state": "verifying", "service": service}
            case SwitchAsked() | RollbackAsked():
                return self._switched()
            case _:
                return {"service": service, "changed": True}

    def _record(self, verb: str, **arguments: Any) -> None:
        self.calls.append((verb, arguments))
        if self.refusal is not None:
            raise self.refusal
        if self.crash is not None:
            raise self.crash

    def _known(self, service: str) -> None:
        if service != "fraud":
            raise Refusal(RefusalCode.SERVICE_UNKNOWN, f"service {service!r} is not known; known: fraud")

    def _switched(self) -> dict[str, Any]:
        return {
            "service": "fraud", "generation": 16777219, "active": "fraud-v1", "standby": None, "candidate": None,
            "changed": True, "confirmed": True, "workers_unconfirmed": [], "swap_us": 180, "confirmed_ms": 0.9,
            "journalled": True, "incident": None, "message": "fraud-v1 is active",
        }  # fmt: skip


def application(
    control: FakeControl | None = None,
    settings: Settings | None = None,
    further: Sequence[Operation] = (),
    streams: EventStreams | None = None,
) -> web.Application:
    """Return an admin with the routes of the core, of versions and of the dashboard, and `further` ones."""
    control = control or FakeControl()
    routes = (*version_routes.OPERATIONS, *dashboard_routes.operations(), *further)
    return app.build(control, control, settings or Settings(), routes, streams)  # type: ignore[arg-type]
