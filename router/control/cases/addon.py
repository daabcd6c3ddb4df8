"""Regression cases: builds them after a rollback, deletes them when they expire, and checks them on every candidate.

It works once a second and never blocks: the store's thread accesses files, another thread reads shared memory, checks are
tasks. The machine reads the result that a promotion depends on (rollout/cases/promotion_check.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.cases.builder import CaseBuilder
from router.control.cases.captures import CapturedRequests
from router.control.cases.checks import CheckRun, Checks
from router.control.cases.redaction_process import RedactionResult
from router.control.cases.runner import AnswerValidator, CaseRunOptions, RunTarget, run_cases
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.store.case_store import CaseStore
from router.control.store.cases_file import Summary
from router.control.store.set_aside import discard_aside
from router.control.views.metric_table import gauge
from router.errors import Refusal, StartError
from router.errors.codes import RefusalCode
from router.rollout.cases.comparison import ComparisonLimits
from router.rollout.cases.promotion_check import PromotionCheck, SuiteResult
from router.rollout.facts.cases import CasesChecked, CasesFrozen, SuiteExtended, SuiteReduced
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.facts.versions import Verified
from router.rollout.incidents.incident import INCIDENTS_MAX
from router.rollout.incidents.timeline_text import cases_text
from router.rollout.model.target import State, Target
from router.rollout.text import shorten
from router.runtime import clock
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.settings_memory import Place
from router.tls import contexts

log = logging.getLogger(__name__)

TIDY_EVERY_NS: Final = 60_000_000_000
RETRY_NS: Final = 10_000_000_000
CHECK_RETRY_S: Final = 10.0
"""An automatic check that ended without a result is retried after this time."""
FAILING_NAMED_MAX: Final = 100
ROLLBACKS_LISTED: Final = 20
"""Rollbacks of a service for which the list of cases shows how many cases they built."""
PATTERNS_SHOWN: Final = 5
PATTERN_CHARS_SHOWN: Final = 80
_PENDING: Final = "not processed yet: cases are made some seconds after a rollback"
_NONE_BUILT: Final = "no cases were made: the router ended before its failing requests were processed, or captured none"


class CasesAddon(Addon):
    """The cases of all services. `captured` gives other add-ons access to failing requests."""

    def __init__(
        self, control_loop: ControlLoop, settings: Settings, state_dir: Path, entries: Sequence[Entry]
    ) -> None:
        self.control_loop = control_loop
        self.captured = CapturedRequests(control_loop.segment, settings, self._redacted)
        self._read_places()
        self.store = CaseStore(state_dir, self._put_aside)
        self.checks = Checks(control_loop.tasks)
        self.builder = CaseBuilder(control_loop, self.captured, self.store, control_loop.segment.words[at.H_BOOT])
        self._summaries: dict[str, Summary] = {}
        self._built: dict[str, dict[str, CasesFrozen]] = {name: {} for name in control_loop.services}
        """By service and incident: the last fact about its cases, the oldest incident first."""
        self._promotion_parts: dict[str, tuple[tuple[Any, ...], PromotionCheck]] = {}
        self._checked: dict[str, dict[str, SuiteResult]] = {name: {} for name in control_loop.services}
        self._next_load_ns = self._next_tidy_ns = 0
        self._loading = False
        self._changes: Counter[str] = Counter()
        """How often the suite of a service has changed, by the journal; `_loaded`: the same count when it was last read."""
        self._loaded: Counter[str] = Counter()
        self.builder.restore(entries)
        for entry in entries:
            self._fold(entry)

    # -- the add-on
    def on_entry(self, entry: Entry) -> None:
        """Fold an entry. A rollback makes cases due; a change of the suite makes a reload due."""
        self.builder.on_entry(entry)
        self._fold(entry)
        if isinstance(entry.fact, Verified) and entry.service in self.control_loop.services:
            self._check_candidate(self.control_loop.services[entry.service])

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Keep the cases of one more service; those that it had before are in the file."""
        self._read_places()
        self._built[service], self._checked[service] = {}, {}
        self._changes.pop(service, None)
        self._loaded.pop(service, None)
        self.builder.restore(entries)
        for entry in entries:
            self._fold(entry)
        self._next_load_ns = 0

    def service_removed(self, service: str) -> None:
        """Make no more cases of a service; its cases stay in the file, and expire."""
        check = self.checks.automatic(service)
        if check is not None:
            self.checks.cancel(check)
        self.builder.forget(service)
        for known in (self._built, self._checked, self._summaries, self._promotion_parts):
            known.pop(service, None)
        self._read_places(service)

    def _read_places(self, without: str = "") -> None:
        services = self.control_loop.services.items()
        executors = {name: service_controller.executor for name, service_controller in services if name != without}
        self.captured.set_places({name: Place(one.index, one.since_ns) for name, one in executors.items()})

    def on_second(self, now_ns: int) -> None:
        """Start the work that is due: builds, a reload, the deletion of expired cases, checks of candidates."""
        self.builder.tick(now_ns)
        if now_ns >= self._next_load_ns and not self._loading:
            self._loading, self._next_load_ns = True, now_ns + RETRY_NS
            self.control_loop.tasks.spawn(self._load(), "cases")
        if now_ns >= self._next_tidy_ns:
            self._next_tidy_ns = now_ns + TIDY_EVERY_NS
            self.control_loop.tasks.spawn(self._tidy(), "expired cases")
        for service_controller in self.control_loop.services.values():
            self._check_candidate(service_controller)

    def reconfigure(self, settings: Settings) -> None:
        """Apply changed limits and rules."""
        self.captured.reconfigure(settings)

    def status(self, service: str) -> dict[str, Any]:
        """Return the number of cases, and the results of the candidate."""
        service_controller, summary = self.control_loop.services[service], self._summaries.get(service, Summary())
        candidate, check = service_controller.registry.candidate, self.checks.automatic(service)
        progress = check.progress() if check and candidate and check.version == candidate.version else None
        checked = self._promotion_check(service_controller).of(candidate) if candidate else None
        return {
            "cases": {
                "count": summary.cases,
                "size_bytes": summary.size_bytes,
                "on_promote": service_controller.service.cases.on_promote,
                "pending": self._unchecked_candidate(service_controller) is not None,
                "failing": list(checked.failing) if checked else [],
                "check": progress,
            }
        }

    def rollbacks(self, service: str) -> list[dict[str, Any]]:
        """Return how many cases the last rollbacks of a service have built, newest first.

        Each is {incident, version, seen, made, left_out, why}: `why` is a text, and gives the reason if there are none.
        Unknown numbers are None.
        """
        records = self.control_loop.services[service].registry.incidents[-ROLLBACKS_LISTED:]
        return [self._cases_built(service, record) for record in reversed(records)]

    def _cases_built(self, service: str, record: dict[str, Any]) -> dict[str, Any]:
        incident, version = record["id"], record["from"]
        fact = self._built[service].get(incident)
        if fact is None:
            why = self._why_none(service, record)
            return {"incident": incident, "version": version, "seen": None, "made": None, "left_out": {}, "why": why}
        made = {"seen": fact.seen, "made": len(fact.cases), "left_out": fact.left_out or {}}
        return {"incident": incident, "version": fact.version, **made, "why": cases_text(fact)}

    def _why_none(self, service: str, record: dict[str, Any]) -> str:
        if not self.control_loop.services[service].service.cases.capture:
            return "nothing was captured: [cases] capture is off"
        return _PENDING if record["id"] in self.builder.pending or self.builder.is_fresh(record) else _NONE_BUILT

    def verbs(self, service: str) -> Mapping[str, list[str]]:
        """Return why a check of cases would be refused now."""
        return {"check": [] if self.status(service)["cases"]["count"] else ["the service has no cases"]}

    def metrics(self) -> Iterable[Metric]:
        """Return how many cases each service has, and how many of them its candidate fails."""
        cases = gauge("cases")
        failing = gauge("cases_failing")
        for name, service_controller in self.control_loop.services.items():
            cases.add_metric([name], self._summaries.get(name, Summary()).cases)
            candidate = service_controller.registry.candidate
            if (
                candidate is not None
                and (checked := self._promotion_check(service_controller).of(candidate)) is not None
            ):
                failing.add_metric([name, candidate.version], checked.failed)
        return (cases, failing)

    async def close(self) -> None:
        """Close the file. Checks end with control."""
        await self.store.close()

    # -- the suite
    def _redacted(self, service: str, result: RedactionResult) -> None:
        """Raise the alarm if texts were hidden because they could not be searched; end it if none were."""
        alarms = self.control_loop.alarms
        if not result.slow and not result.why:
            alarms.down("redaction_slow", service)
            return
        named = ", ".join(repr(shorten(pattern, PATTERN_CHARS_SHOWN)) for pattern in result.slow[:PATTERNS_SHOWN])
        slow = (
            f"redact_patterns took too long, and what they did not search is redacted as a whole: {named}"
            if named
            else ""
        )
        why = f"captured requests are hidden: {result.why}" if result.why else ""
        alarms.up("redaction_slow", "; ".join(filter(None, (slow, why))), service)

    def _put_aside(self, name: str, why: str) -> None:
        self.control_loop.alarms.up(
            "cases_unreadable", f"the file of cases was unreadable ({why}) and is kept as {name}"
        )

    async def _load(self) -> None:
        names, changes = list(self.control_loop.services), self._changes.copy()
        try:
            found = await self.store.call(lambda file: {name: file.summary(name) for name in names})
        except Refusal as error:
            self.control_loop.alarms.up("cases_unavailable", error.detail)
        else:
            self.control_loop.alarms.down("cases_unavailable")
            self._summaries, self._loaded = found, changes
        finally:
            self._loading = False

    async def _tidy(self) -> None:
        """Delete expired cases. A failure raises an alarm, because the deletion is promised."""
        after_s = {
            name: service_controller.service.cases.expire_after_s
            for name, service_controller in self.control_loop.services.items()
        }
        now_s = clock.wall_s()
        try:
            gone = await self.store.call(lambda file: file.expire(after_s, now_s))
            await self.store.call(lambda _: discard_aside(self.store.path, now_s, max(after_s.values())))
        except Refusal as error:
            self.control_loop.alarms.up("cases_not_deleted", error.detail)
            self._next_tidy_ns = clock.now_ns() + RETRY_NS
            return
        self.control_loop.alarms.down("cases_not_deleted")
        for service, count in gone.items():
            if service in self.control_loop.services:
                record = Record(SuiteReduced(count=count, why="expired"), "control")
                self.control_loop.services[service].executor.perform([record], clock.now_ns())

    # -- the promotion check
    def _fold(self, entry: Entry) -> None:
        fact = entry.fact
        if isinstance(fact, CasesFrozen | SuiteExtended | SuiteReduced):
            self._next_load_ns = 0
            self._changes[entry.service] += 1
        if isinstance(fact, CasesFrozen) and entry.service in self._built:
            built = self._built[entry.service]
            built[fact.incident] = fact
            if len(built) > INCIDENTS_MAX:
                del built[next(iter(built))]
        if isinstance(fact, CasesChecked) and entry.service in self._checked:
            self._checked[entry.service][fact.version] = SuiteResult(
                fact.version, fact.deployment, fact.revision, fact.cases, fact.failed, fact.failing
            )

    def promotion_checks(self) -> dict[str, Callable[[], PromotionCheck]]:
        """Return the function that gives the present check of each service. It is stale until a changed suite is read."""
        services = self.control_loop.services
        return {
            name: partial(self._promotion_check, service_controller) for name, service_controller in services.items()
        }

    def _promotion_check(self, service_controller: ServiceController) -> PromotionCheck:
        name, cases = service_controller.name, service_controller.service.cases
        summary, stale = self._summaries.get(name), self._stale(service_controller)
        parts = (
            cases.on_promote == "require",
            summary.revision if summary is not None else "",
            self._checked[name],
            stale,
            self._is_making(service_controller),
        )
        known = self._promotion_parts.get(name)
        if known is None or known[0] != parts:  # every tick asks
            known = self._promotion_parts[name] = parts, PromotionCheck(*parts)
        return known[1]

    def _stale(self, service_controller: ServiceController) -> bool:
        return self._changes[service_controller.name] != self._loaded[service_controller.name]

    def _is_making(self, service_controller: ServiceController) -> bool:
        """Return whether cases of a rollback are still made. The registry knows a rollback before this add-on does."""
        if not service_controller.service.cases.capture:
            return False
        record = next(iter(service_controller.registry.incidents[-1:]), None)
        return record is not None and self.builder.is_making(record, self._built[service_controller.name])

    def _unchecked_candidate(self, service_controller: ServiceController) -> Target | None:
        """Return the candidate if it is ready and still has to be checked."""
        candidate = service_controller.registry.candidate
        if (
            candidate is None
            or candidate.state is not State.READY
            or service_controller.service.cases.on_promote == "off"
        ):
            return None
        return candidate if self._promotion_check(service_controller).is_pending(candidate) else None

    def _check_candidate(self, service_controller: ServiceController) -> None:
        """Start the check of the candidate that is missing; cancel the check of a candidate that is gone."""
        candidate, check = service_controller.registry.candidate, self.checks.automatic(service_controller.name)
        if check is not None and check.state == "running":
            if candidate is None or check.version != candidate.version:
                self.checks.cancel(check)
            return
        unchecked = self._unchecked_candidate(service_controller)
        if (
            unchecked is not None
            and not self._promotion_check(service_controller).unsettled
            and not _failed_recently(check, unchecked.version)
        ):
            self.begin(service_controller, unchecked, "control", automatic=True)

    # -- checks
    def begin(
        self,
        service_controller: ServiceController,
        target: Target,
        by: str,
        *,
        names: Sequence[str] = (),
        replay_all: bool = False,
        automatic: bool = False,
    ) -> CheckRun:
        """Start a check of all cases, or of the named ones, on `target`; raise Refusal if too many are running."""

        async def run(check: CheckRun) -> None:
            suite, summary = await self.store.call(
                lambda file: (file.suite(service_controller.name), file.summary(service_controller.name))
            )
            chosen = [stored.case for stored in suite if not names or stored.case.id in names]
            check.begin(len(chosen))
            await run_cases(
                chosen,
                await self._run_target(service_controller, target),
                _run_options(service_controller, replay_all=replay_all),
                check.results.append,
            )
            if not names:
                self._journal_result(service_controller, target, check, summary.revision)

        return self.checks.start(service_controller.name, target.version, by, run, automatic=automatic)

    def _journal_result(
        self, service_controller: ServiceController, target: Target, check: CheckRun, revision: str
    ) -> None:
        failing = check.failing
        fact = CasesChecked(
            version=target.version,
            deployment=target.deployment,
            revision=revision,
            cases=check.total,
            passed=sum(result.state == "pass" for result in check.results),
            failed=len(failing),
            failing=tuple(failing[:FAILING_NAMED_MAX]),
        )
        service_controller.executor.perform([Record(fact, check.by)], clock.now_ns())

    async def _run_target(self, service_controller: ServiceController, target: Target) -> RunTarget:
        rewrite = service_controller.sent_rewrite(target.rewrite)
        if not any(url.startswith("https:") for url in target.endpoints):
            return RunTarget(target.endpoints, rewrite=rewrite)
        tls = contexts.backend_of(service_controller.service.backend_tls.model_dump())
        try:
            context = await asyncio.to_thread(contexts.backend_context, tls)
        except StartError as error:
            raise Refusal(RefusalCode.CERTIFICATE_UNUSABLE, error.detail) from None
        return RunTarget(target.endpoints, context, tls.server_name, rewrite=rewrite)


def _failed_recently(check: CheckRun | None, version: str) -> bool:
    """Return whether the last check of this version has just ended without a result. It is retried, but not at once."""
    if check is None or check.version != version or check.state not in ("broken", "cancelled"):
        return False
    return clock.wall_s() - (check.ended_at or 0.0) < CHECK_RETRY_S


def _run_options(service_controller: ServiceController, *, replay_all: bool) -> CaseRunOptions:
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
        replay_all=replay_all,
        complaint=AnswerValidator(service_controller.service.validation).complaint,
    )
