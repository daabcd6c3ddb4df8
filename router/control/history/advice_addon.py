"""The add-on behind `advise`: it collects rollbacks and baselines, and lets a child process replay the rows, one at a time."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Sequence
from typing import Final

import orjson

from router.control.addon import Addon, Document
from router.control.bulkhead import Bulkhead, BulkheadFull
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import first_byte_timeout_s
from router.control.history.advice_process import Job
from router.control.history.report_addon import ReportAddon
from router.control.store.history_store import HistoryStore, HistoryUnavailable
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.versions import BaselineEstimated, VersionAccepted
from router.rollout.history.advice import KnownRollback
from router.rollout.history.period import Period
from router.runtime import clock, interpreter

BASELINES_MAX: Final = 100
"""Per service. There is one a day, and one with each acceptance."""
TIMEOUT_S: Final = 90.0


class AdviceAddon(Addon):
    """Advice on the rules of each service."""

    def __init__(
        self, control_loop: ControlLoop, history: HistoryStore, reports: ReportAddon, entries: Sequence[Entry]
    ) -> None:
        self._control_loop = control_loop
        self._history = history
        self._reports = reports
        self._baselines: dict[str, deque[tuple[int, Document]]] = {
            name: deque(maxlen=BASELINES_MAX) for name in control_loop.services
        }
        self._bulkhead = Bulkhead("advise", 1)
        for entry in entries:
            self.on_entry(entry)

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Advise on one more service."""
        self._baselines[service] = deque(maxlen=BASELINES_MAX)
        for entry in entries:
            self.on_entry(entry)

    def service_removed(self, service: str) -> None:
        """Forget a service."""
        self._baselines.pop(service, None)

    def on_entry(self, entry: Entry) -> None:
        """Remember each baseline and the time from which it applied."""
        fact = entry.fact
        if isinstance(fact, BaselineEstimated | VersionAccepted) and entry.service in self._baselines and fact.baseline:
            self._baselines[entry.service].append((int(entry.at * 1000), fact.baseline))

    async def advise(self, service: str, days: float, per_month_max: float) -> Document:
        """Return the results of other limits in the last `days`, and which limits to set.

        `per_month_max`: the false alarms in 30 days that are acceptable. Raise Refusal:
        `service_unknown`, `advise_busy`, or `history_unavailable`.
        """
        service_controller = self._control_loop.services[service]
        now_s = clock.wall_s()
        period = Period(now_s - days * 86_400, now_s)
        baselines = tuple(self._baselines[service])
        rules, timeout_s = (
            service_controller.service.rules,
            first_byte_timeout_s(self._control_loop.settings, service_controller.service),
        )

        def run_job() -> tuple[Document | None, str]:
            rollbacks = [made for made in self._reports.summary(service).rollbacks if period.since_s <= made.at]
            job = Job(
                path=str(self._history.path),
                service=service,
                since_ms=int(period.since_s * 1000),
                until_ms=int(period.until_s * 1000),
                rules=rules,
                first_byte_timeout_s=timeout_s,
                rollbacks=tuple(KnownRollback(made.at, made.left, made.trigger) for made in rollbacks),
                baselines=baselines,
                per_month_max=per_month_max,
            )
            return _run_process(job)

        try:
            answer, why = await self._bulkhead.call(run_job)
        except BulkheadFull:
            detail = "another backtest is running: try again when it has ended"
            raise Refusal(RefusalCode.ADVISE_BUSY, detail) from None
        if answer is None:
            raise HistoryUnavailable(why)
        return {"since": clock.iso(period.since_s), "until": clock.iso(period.until_s), **answer}


def _run_process(job: Job) -> tuple[Document | None, str]:
    """Run `job` in a child process; return the advice, or None and the reason. This blocks; call it in a thread."""
    try:
        process = interpreter.run("router.control.history.advice_process", job.encode(), TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None, f"to replay it takes more than {TIMEOUT_S:g} s: ask for fewer days"
    if process.returncode:
        return None, process.stderr.decode(errors="replace").strip()[-200:] or f"exit code {process.returncode}"
    return orjson.loads(process.stdout), ""
