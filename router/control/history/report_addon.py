"""The office that says whether all this was worth it: figures per service and period, from the journal and the history.

The journal's facts are folded as they come; the rows of a period are summed by SQLite in a thread, without the interpreter's
lock. What /metrics shows is of the last 30 days, and at most `REFRESH_S` old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.store.history import HistoryStore
from router.errors import OperatorError
from router.rollout.history.deployment_log import DeploymentLog, DeploymentSummary, Timestamp
from router.rollout.history.period import Period, period
from router.rollout.history.service_report import Price, report
from router.rollout.model.entry import Entry
from router.runtime import clock
from router.shm import layout as at

REFRESH_S: Final = 300.0
SHOWN_DAYS: Final = 30
_FIRST_AFTER_S: Final = 15.0
_PREFIX: Final = "rollback_router_"
Document = dict[str, Any]


class ReportAddon(Addon):
    """The reports of every service."""

    def __init__(self, control_loop: ControlLoop, history: HistoryStore, entries: Sequence[Entry], now_ns: int) -> None:
        self._control_loop = control_loop
        self._history = history
        self._ledgers = {name: DeploymentLog(name) for name in control_loop.services}
        self._shown: dict[str, Document] = {}
        self._due_ns = now_ns + int(_FIRST_AFTER_S * 1e9)
        for entry in entries:
            self.on_entry(entry)

    def on_entry(self, entry: Entry) -> None:
        """Take a fact in."""
        ledger = self._ledgers.get(entry.service)
        if ledger is not None:
            ledger.add(entry)

    def on_second(self, now_ns: int) -> None:
        """Have what /metrics shows computed anew, every five minutes."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + int(REFRESH_S * 1e9)
            self._control_loop.tasks.spawn(self.refresh(), "success metrics")

    async def refresh(self) -> None:
        """Compute what /metrics shows; what cannot be read now stays as it was."""
        now_s = clock.wall_s()
        for name in self._ledgers:
            try:
                self._shown[name] = await self._report(name, Period(now_s - SHOWN_DAYS * 86_400, now_s))
            except OperatorError:
                continue

    def account(self, service: str) -> DeploymentSummary:
        """Return what the facts of a known service come to. In a thread: thousands of facts take milliseconds."""
        return self._ledgers[service].account()

    async def report(self, service: str, since: str, until: str = "") -> Document:
        """Return the figures of `service` from `since` to `until` ("": now), as `period` reads them.

        Raise OperatorError: 404 without such a service, 400 for what is no period, 503 if the history cannot be read.
        """
        self._control_loop.services[service]
        try:
            asked = period(since, until, clock.wall_s())
        except ValueError as error:
            raise OperatorError(400, "period_invalid", str(error), exit_code=2) from None
        return await self._report(service, asked)

    async def _report(self, service: str, asked: Period) -> Document:
        service_controller = self._control_loop.services[service]
        told, limit = service_controller.service, service_controller.service.rules.error_rate.rate_floor
        since_ms, until_ms = int(asked.since_s * 1000), int(asked.until_s * 1000)
        totals, account = await self._history.read(
            lambda file: (file.totals(service, since_ms, until_ms, limit), self.account(service))
        )
        now = Timestamp(clock.wall_s(), clock.now_ns(), self._control_loop.segment.words[at.H_BOOT])
        price = Price(told.standby_cost_per_hour, told.standby_cost_currency)
        found = report(service, asked, totals, account, limit, price, now)
        times = {name: clock.iso(found.pop(f"{name}_s")) for name in ("since", "until", "known_since")}
        return {**times, **found}

    def metrics(self) -> Iterable[Metric]:
        """Return the figures of the last 30 days; what cannot be said is absent."""
        return [*_shares(self._shown), *_times(self._shown)]


_SHOWN: Final = (
    ("uptime_share", ("uptime", "share"), "Share of requests that did not fail, as clients saw it."),
    (
        "uptime_by_time_share",
        ("uptime_by_time", "share"),
        "Share of the time with traffic in which few requests failed.",
    ),
    ("stability_share", ("stability", "share"), "Share of the judged time in which no trigger failed."),
    ("history_coverage_share", ("coverage", "share"), "Share of the time of which rows are kept."),
    ("deployments", ("deployments", "count"), "Versions that became active for the first time."),
    ("change_failure_share", ("change_failures", "share"), "Share of these that ended in a rollback."),
    ("standby_hours", ("standby", "hours"), "Hours in which a standby was kept warm."),
    ("standby_cost", ("standby", "cost"), "What that cost, at standby_cost_per_hour."),
)


def _shares(shown: Mapping[str, Document]) -> Iterator[Metric]:
    for name, (group, member), told in _SHOWN:
        family = GaugeMetricFamily(f"{_PREFIX}{name}", f"{told} Of the last {SHOWN_DAYS} days.", labels=["service"])
        for service, document in shown.items():
            if (value := document[group][member]) is not None:
                family.add_metric([service], value)
        yield family


def _times(shown: Mapping[str, Document]) -> Iterator[Metric]:
    for name, told in (
        ("time_to_detect", "first fault to decision"),
        ("time_to_restore", "first fault to last worker"),
    ):
        family = GaugeMetricFamily(
            f"{_PREFIX}{name}_seconds", f"Of the rollbacks of the last {SHOWN_DAYS} days: {told}.",
            labels=["service", "quantile"],
        )  # fmt: skip
        for service, document in shown.items():
            for quantile, member in (("0.5", "median_s"), ("0.95", "p95_s")):
                if (value := document[name][member]) is not None:
                    family.add_metric([service, quantile], value)
        yield family
