"""The report of a service over a period: uptime, stability, deployments, times to detect and restore, costs.

Entries of the journal are folded as they come. SQLite sums the rows of a period in a thread, without the interpreter's lock.
The metrics are of the last 30 days, and at most `REFRESH_S` old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document
from router.control.core.loop import ControlLoop
from router.control.store.history_store import HistoryStore
from router.control.views.metric_table import PERIOD_DAYS, gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.history.deployment_log import DeploymentLog, DeploymentSummary, Timestamp
from router.rollout.history.period import Period, period
from router.rollout.history.service_report import Price, report
from router.runtime import clock
from router.shm import layout as at

REFRESH_S: Final = 300.0
_FIRST_AFTER_S: Final = 15.0


class ReportAddon(Addon):
    """The reports of every service."""

    def __init__(self, control_loop: ControlLoop, history: HistoryStore, entries: Sequence[Entry], now_ns: int) -> None:
        self._control_loop = control_loop
        self.history = history
        self._logs = {name: DeploymentLog(name) for name in control_loop.services}
        self._documents: dict[str, Document] = {}
        self._due_ns = now_ns + int(_FIRST_AFTER_S * 1e9)
        for entry in entries:
            self.on_entry(entry)

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Report one more service."""
        self._logs[service] = DeploymentLog(service)
        for entry in entries:
            self.on_entry(entry)

    def service_removed(self, service: str) -> None:
        """Forget a service."""
        self._logs.pop(service, None)
        self._documents.pop(service, None)

    def on_entry(self, entry: Entry) -> None:
        """Fold an entry."""
        deployment_log = self._logs.get(entry.service)
        if deployment_log is not None:
            deployment_log.add(entry)

    def on_second(self, now_ns: int) -> None:
        """Compute the metrics every five minutes."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + int(REFRESH_S * 1e9)
            self._control_loop.tasks.spawn(self.refresh(), "success metrics")

    async def refresh(self) -> None:
        """Compute the metrics. A service whose history cannot be read now keeps its old values."""
        now_s = clock.wall_s()
        for name in list(self._logs):
            try:
                document = await self._report(name, Period(now_s - PERIOD_DAYS * 86_400, now_s))
            except Refusal:
                continue
            if name in self._logs:  # it may have been removed meanwhile
                self._documents[name] = document

    def summary(self, service: str) -> DeploymentSummary:
        """Return the summary of a known service's entries. Thousands of entries take milliseconds; call it in a thread."""
        return self._logs[service].summary()

    async def report(self, service: str, since: str, until: str = "") -> Document:
        """Return the figures of `service` from `since` to `until` ("": now), as `period` parses them.

        Raise Refusal: `service_unknown`, `period_invalid`, `history_unavailable`.
        """
        self._control_loop.services[service]
        try:
            span = period(since, until, clock.wall_s())
        except ValueError as error:
            raise Refusal(RefusalCode.PERIOD_INVALID, str(error)) from None
        return await self._report(service, span)

    async def _report(self, service: str, span: Period) -> Document:
        service_controller = self._control_loop.services[service]
        settings, limit = service_controller.service, service_controller.service.rules.error_rate.rate_floor
        since_ms, until_ms = int(span.since_s * 1000), int(span.until_s * 1000)
        totals, summary = await self.history.read(
            lambda file: (file.totals(service, since_ms, until_ms, limit), self.summary(service))
        )
        now = Timestamp(clock.wall_s(), clock.now_ns(), self._control_loop.segment.words[at.H_BOOT])
        price = Price(settings.standby_cost_per_hour, settings.standby_cost_currency)
        found = report(service, span, totals, summary, limit, price, now)
        times = {name: clock.iso(found.pop(f"{name}_s")) for name in ("since", "until", "known_since")}
        return {**times, **found}

    def metrics(self) -> Iterable[Metric]:
        """Return the figures of the last 30 days. Unknown figures are absent."""
        return [*_shares(self._documents), *_times(self._documents)]


_SHOWN: Final = (
    ("uptime_share", ("uptime", "share")),
    ("uptime_by_time_share", ("uptime_by_time", "share")),
    ("stability_share", ("stability", "share")),
    ("history_coverage_share", ("coverage", "share")),
    ("deployments", ("deployments", "count")),
    ("change_failure_share", ("change_failures", "share")),
    ("standby_cost", ("standby", "cost")),
)
"""The metrics that are one member of the report, and its place there."""


def _shares(documents: Mapping[str, Document]) -> Iterator[Metric]:
    for name, (group, member) in _SHOWN:
        family = gauge(name)
        for service, document in documents.items():
            if (value := document[group][member]) is not None:
                family.add_metric([service], value)
        yield family
    standby = gauge("standby_seconds")
    for service, document in documents.items():
        standby.add_metric([service], document["standby"]["hours"] * 3600)
    yield standby


def _times(documents: Mapping[str, Document]) -> Iterator[Metric]:
    for name in ("time_to_detect", "time_to_restore"):
        family = gauge(f"{name}_seconds")
        for service, document in documents.items():
            for percentile, member in (("50", "median_s"), ("95", "p95_s")):
                if (value := document[name][member]) is not None:
                    family.add_metric([service, percentile], value)
        yield family
