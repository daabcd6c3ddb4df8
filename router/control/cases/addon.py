"""The office of cases: freezes them after a rollback, lets them expire, and has every candidate show that they work in it.

It looks about once a second and does nothing itself that takes long: files are on the store's thread, shared memory is read
on another one, checks are tasks. What a promotion asks of it is in memory, in the machine (rollout/cases/promotion_check.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.cases.builder import CaseBuilder
from router.control.cases.captures import CapturedRequests
from router.control.cases.checks import CheckRun, Checks
from router.control.cases.runner import CaseRunOptions, RunTarget, Validity, replayed
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.store.cases import CaseStore
from router.control.store.cases_file import Summary, discard_aside
from router.errors import OperatorError, StartError
from router.rollout.cases.comparison import ComparisonLimits
from router.rollout.cases.promotion_check import Checked, PromotionCheck
from router.rollout.incidents.incident import INCIDENTS_MAX
from router.rollout.incidents.timeline_text import frozen_cases
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.model.route import BOOT_SHIFT
from router.rollout.model.target import State, Target
from router.runtime import clock
from router.settings.settings import Settings
from router.shm import layout as at
from router.tls import contexts

log = logging.getLogger(__name__)

TIDY_EVERY_NS: Final = 60_000_000_000
AGAIN_NS: Final = 10_000_000_000
RETRY_S: Final = 10.0
"""After an automatic check that broke off."""
FAILING_NAMED_MAX: Final = 100
ROLLBACKS_TOLD: Final = 20
"""Of a service: of so many the list of cases says what they made."""
RETOLD_S: Final = 60.0
"""A rollback of less than that ago may not have been told to this office yet."""
_EARLY: Final = "not looked at yet: cases are made some seconds after a rollback"
_LOST: Final = "no cases were made: the router ended before its failing requests were looked at, or captured none"


class CasesAddon(Addon):
    """Of all services. `captured` is what others read of failing requests."""

    def __init__(
        self, control_loop: ControlLoop, settings: Settings, state_dir: Path, entries: Sequence[Entry]
    ) -> None:
        self.control_loop = control_loop
        self.captured = CapturedRequests(control_loop.segment, settings)
        self.store = CaseStore(state_dir, self._put_aside)
        self.checks = Checks(control_loop.tasks)
        self._builder = CaseBuilder(control_loop, self.captured, self.store, control_loop.segment.words[at.H_BOOT])
        self._summaries: dict[str, Summary] = {}
        self._frozen: dict[str, dict[str, Any]] = {name: {} for name in control_loop.services}
        """By service and incident: what became of its failing requests (`cases_frozen`), the oldest first."""
        self._checked: dict[str, dict[str, Checked]] = {name: {} for name in control_loop.services}
        self._next_load_ns = self._next_tidy_ns = 0
        self._loading = False
        self._changes: Counter[str] = Counter()
        """How often the suite of a service has changed, as far as is known, and below how often when it was read."""
        self._read: Counter[str] = Counter()
        self._builder.look_back(entries)
        for entry in entries:
            self._fold(entry)
        for service_controller in control_loop.services.values():
            service_controller.machine.proof = self._proof(service_controller)

    # -- what control calls
    def on_entry(self, entry: Entry) -> None:
        """A rollback is due to be frozen; a change of the suite is to be looked at."""
        self._builder.on_entry(entry)
        self._fold(entry)
        if entry.service in self._checked:
            service_controller = self.control_loop.services[entry.service]
            service_controller.machine.proof = self._proof(
                service_controller
            )  # not read yet, a suite that has changed lets nobody pass
        if entry.type == kinds.VERIFIED:
            self._prove(self.control_loop.services[entry.service])

    def on_second(self, now_ns: int) -> None:
        """Do what is due."""
        self._builder.tick(now_ns)
        if now_ns >= self._next_load_ns and not self._loading:
            self._loading, self._next_load_ns = True, now_ns + AGAIN_NS
            self.control_loop.tasks.spawn(self._load(), "cases")
        if now_ns >= self._next_tidy_ns:
            self._next_tidy_ns = now_ns + TIDY_EVERY_NS
            self.control_loop.tasks.spawn(self._tidy(), "expired cases")
        for service_controller in self.control_loop.services.values():
            self._prove(service_controller)

    def reconfigure(self, settings: Settings) -> None:
        """Other limits and rules count from now on."""
        self.captured.reconfigure(settings)

    def status(self, service: str) -> dict[str, Any]:
        """How many cases there are, and what the candidate has shown."""
        service_controller, summary = self.control_loop.services[service], self._summaries.get(service, Summary())
        candidate, check = service_controller.registry.candidate, self.checks.automatic(service)
        shown = check.progress() if check and candidate and check.version == candidate.version else None
        checked = self._proof(service_controller).of(candidate) if candidate else None
        return {
            "cases": {
                "count": summary.cases,
                "size_bytes": summary.size_bytes,
                "on_promote": service_controller.service.cases.on_promote,
                "pending": self._unproven(service_controller) is not None,
                "failing": list(checked.failing) if checked else [],
                "check": shown,
            }
        }

    def rollbacks(self, service: str) -> list[dict[str, Any]]:
        """Return what the last rollbacks of a service made cases of, newest first, each as {incident, version, seen, made,
        left_out, why}: `why` is for people, and says why there are none. Numbers that nobody knows are None."""
        told = self.control_loop.services[service].registry.incidents[-ROLLBACKS_TOLD:]
        return [self._made(service, one) for one in reversed(told)]

    def _made(self, service: str, told: dict[str, Any]) -> dict[str, Any]:
        incident, version = told["id"], told["from"]
        fact = self._frozen[service].get(incident)
        if fact is None:
            why = self._why_unknown(service, told)
            return {"incident": incident, "version": version, "seen": None, "made": None, "left_out": {}, "why": why}
        made = {"seen": fact["seen"], "made": len(fact["cases"]), "left_out": fact.get("left_out", {})}
        return {"incident": incident, "version": fact["version"], **made, "why": frozen_cases(fact)}

    def _why_unknown(self, service: str, told: dict[str, Any]) -> str:
        if not self.control_loop.services[service].service.cases.capture:
            return "nothing was captured: [cases] capture is off"
        boot = self.control_loop.segment.words[at.H_BOOT]
        fresh = told["generation"] >> BOOT_SHIFT == boot and clock.wall_s() - told["detection_at"] < RETOLD_S
        return _EARLY if fresh or told["id"] in self._builder.due else _LOST

    def metrics(self) -> Iterable[Metric]:
        """How many cases a service has, and how many of them its candidate fails."""
        cases = GaugeMetricFamily("rollback_router_cases", "Regression cases.", labels=["service"])
        failing = GaugeMetricFamily(
            "rollback_router_cases_failing", "Cases that the candidate fails.", labels=["service", "version"]
        )
        for name, service_controller in self.control_loop.services.items():
            cases.add_metric([name], self._summaries.get(name, Summary()).cases)
            candidate = service_controller.registry.candidate
            if candidate is not None and (checked := self._proof(service_controller).of(candidate)) is not None:
                failing.add_metric([name, candidate.version], checked.failed)
        return (cases, failing)

    async def close(self) -> None:
        """Checks end with control; the file is closed."""
        await self.store.close()

    # -- the suite
    def _put_aside(self, name: str, why: str) -> None:
        self.control_loop.alarms.up(
            "cases_unreadable", f"the file of cases was unreadable ({why}) and is kept as {name}"
        )

    async def _load(self) -> None:
        names, changes = list(self.control_loop.services), self._changes.copy()
        try:
            found = await self.store.call(lambda file: {name: file.summary(name) for name in names})
        except OperatorError as error:
            self.control_loop.alarms.up("cases_unavailable", error.detail)
        else:
            self.control_loop.alarms.down("cases_unavailable")
            self._summaries, self._read = found, changes
            for service_controller in self.control_loop.services.values():
                service_controller.machine.proof = self._proof(service_controller)
        finally:
            self._loading = False

    async def _tidy(self) -> None:
        """Delete what has expired. Whoever is in the way of that is told of: it is a promise."""
        after_s = {
            name: service_controller.service.cases.expire_after_s
            for name, service_controller in self.control_loop.services.items()
        }
        now_s = clock.wall_s()
        try:
            gone = await self.store.call(lambda file: file.expire(after_s, now_s))
            await self.store.call(lambda _: discard_aside(self.store.folder, now_s, max(after_s.values())))
        except OperatorError as error:
            self.control_loop.alarms.up("cases_not_deleted", error.detail)
            self._next_tidy_ns = clock.now_ns() + AGAIN_NS
            return
        self.control_loop.alarms.down("cases_not_deleted")
        for service, count in gone.items():
            if service in self.control_loop.services:
                fact = Record(kinds.CASES_REMOVED, "control", {"count": count, "why": "expired"})
                self.control_loop.services[service].executor.perform([fact], clock.now_ns())

    # -- the proof
    def _fold(self, entry: Entry) -> None:
        if entry.type in (kinds.CASES_FROZEN, kinds.CASES_ADDED, kinds.CASES_REMOVED):
            self._next_load_ns = 0
            self._changes[entry.service] += 1
        if entry.type == kinds.CASES_FROZEN and entry.service in self._frozen:
            frozen = self._frozen[entry.service]
            frozen[entry.data["incident"]] = entry.data
            if len(frozen) > INCIDENTS_MAX:
                del frozen[next(iter(frozen))]
        if entry.type == kinds.CASES_CHECKED and entry.service in self._checked:
            data = entry.data
            self._checked[entry.service][data["version"]] = Checked(
                *(data["version"], data["incarnation"], data["revision"], data["cases"], data["failed"]),
                tuple(data["failing"]),
            )

    def _proof(self, service_controller: ServiceController) -> PromotionCheck:
        required = service_controller.service.cases.on_promote == "require"
        revision, stale = (
            self._summaries.get(service_controller.name, Summary()).revision,
            self._stale(service_controller),
        )
        return PromotionCheck(required, revision, self._checked[service_controller.name], stale)

    def _stale(self, service_controller: ServiceController) -> bool:
        return self._changes[service_controller.name] != self._read[service_controller.name]

    def _unproven(self, service_controller: ServiceController) -> Target | None:
        """Return the candidate, if it is ready and has to be checked still."""
        candidate = service_controller.registry.candidate
        if (
            candidate is None
            or candidate.state is not State.READY
            or service_controller.service.cases.on_promote == "off"
        ):
            return None
        return candidate if self._proof(service_controller).wanted(candidate) else None

    def _prove(self, service_controller: ServiceController) -> None:
        """Tell the machine what is known, and find out what is not."""
        service_controller.machine.proof = self._proof(service_controller)
        candidate, check = service_controller.registry.candidate, self.checks.automatic(service_controller.name)
        if check is not None and check.state == "running":
            if candidate is None or check.version != candidate.version:
                self.checks.cancel(check)
            return
        unproven = self._unproven(service_controller)
        if unproven is not None and not self._stale(service_controller) and not _broke_off(check, unproven.version):
            self.begin(service_controller, unproven, "control", automatic=True)

    # -- checks
    def begin(
        self,
        service_controller: ServiceController,
        target: Target,
        by: str,
        *,
        names: Sequence[str] = (),
        asked: bool = False,
        automatic: bool = False,
    ) -> CheckRun:
        """Begin a check of `target`, of all cases or the named ones; raise OperatorError (409) if too many run."""

        async def run(check: CheckRun) -> None:
            suite, summary = await self.store.call(
                lambda file: (file.suite(service_controller.name), file.summary(service_controller.name))
            )
            chosen = [stored.case for stored in suite if not names or stored.case.id in names]
            check.total = len(chosen)
            await replayed(
                chosen,
                await self._where(service_controller, target),
                _way(service_controller, asked=asked),
                check.results.append,
            )
            if not names:
                self._conclude(service_controller, target, check, summary.revision)

        return self.checks.start(service_controller.name, target.version, by, run, automatic=automatic)

    def _conclude(self, service_controller: ServiceController, target: Target, check: CheckRun, revision: str) -> None:
        failing = check.failing
        fact = {
            "version": target.version,
            "incarnation": target.incarnation,
            "revision": revision,
            "cases": check.total,
            "passed": sum(result.state == "pass" for result in check.results),
            "failed": len(failing),
            "failing": failing[:FAILING_NAMED_MAX],
        }
        service_controller.executor.perform([Record(kinds.CASES_CHECKED, check.by, fact)], clock.now_ns())

    async def _where(self, service_controller: ServiceController, target: Target) -> RunTarget:
        if not any(url.startswith("https:") for url in target.endpoints):
            return RunTarget(target.endpoints)
        tls = contexts.backend_of(service_controller.service.backend_tls.model_dump())
        try:
            context = await asyncio.to_thread(contexts.backend_context, tls)
        except StartError as error:
            raise OperatorError(409, error.code, error.detail, exit_code=9) from None
        return RunTarget(target.endpoints, context, tls.server_name)


def _broke_off(check: CheckRun | None, version: str) -> bool:
    """Whether the last check of this version ended without a result just now: it is tried again, but not at once."""
    if check is None or check.version != version or check.state not in ("broken", "cancelled"):
        return False
    return clock.wall_s() - (check.ended_at or 0.0) < RETRY_S


def _way(service_controller: ServiceController, *, asked: bool) -> CaseRunOptions:
    settings, latency = service_controller.service.cases, service_controller.service.rules.latency
    slo_ms = latency.slo_ms if latency.slo_on == "first_byte" else None
    limits = ComparisonLimits(
        latency_ms_max=slo_ms if settings.latency_ms_max is None else settings.latency_ms_max,
        equal=settings.equal,
        relative_tolerance=settings.relative_tolerance,
        absolute_tolerance=settings.absolute_tolerance,
        ignore_paths=tuple(settings.ignore_paths),
    )
    return CaseRunOptions(
        limits,
        settings.check_concurrency,
        settings.check_timeout_s,
        replay=service_controller.service.replay,
        asked=asked,
        complaint=Validity(service_controller.service.validation).complaint,
    )
