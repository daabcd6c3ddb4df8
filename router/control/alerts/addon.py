"""The office that takes alerts in: each is judged once, remembered, and made a fact; the ones that count are triggers.

The fact is folded first and journalled at once, as a verdict is: a full disk must not keep a version in service that is known
to be bad. Its sender is answered when the disk has it, and asked to come again when it has not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, get_args

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from router.control.addon import Addon
from router.control.alerts.keys import HookKeys
from router.control.bulkhead import Bulkhead, BulkheadFull
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.store.journal import APPEND_TIMEOUT_S, JournalUnavailable
from router.control.views.metrics import PREFIX
from router.errors import OperatorError
from router.rollout.alerts.alert import Alert, Decision, InvalidAlert, Kind, RawAlert, decide, parse
from router.rollout.alerts.alert_store import AlertStore, Remembered, data_of, live, not_configured, result
from router.rollout.judge.verdict import TriggerResult
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.model.events import ProposalDue
from router.rollout.text import shorten_line
from router.runtime import clock
from router.settings.settings import Settings

log = logging.getLogger(__name__)
UNUSABLE_UP_S: Final = 3600.0
"""How long after the last one the alarm about unusable alerts stays up."""
SECRET_WAIT_S: Final = 5.0
SHOWN_MAX: Final = 10
AT_A_TIME: Final = 5
"""Alerts that are taken in before others get their turn on the loop."""
_MINUTE_S: Final = 60.0
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AlertResult:
    """What became of one alert: a fate, or `unmapped`, `service_missing`, `service_unknown`."""

    fingerprint: str
    result: str
    detail: str
    service: str | None = None

    @property
    def unusable(self) -> bool:
        """Whether settings or sender are at fault: it was meant for us, and reaches nobody."""
        return self.result in ("service_missing", "service_unknown")


class AlertsAddon(Addon):
    """Alerts of all services. `keys` says who may send them."""

    def __init__(self, control_loop: ControlLoop, settings: Settings, entries: Sequence[Entry]) -> None:
        self._control_loop = control_loop
        self._book = AlertStore(settings.alerts.remembered_max)
        for entry in entries:
            try:
                self._book.apply(entry)
            except (KeyError, TypeError, ValueError) as error:  # of a journal that was begun from an edited copy
                log.warning("entry %d is no alert that makes sense: %r", entry.seq, error)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._tokens, self._tokens_at_s = 0.0, 0.0
        self._unusable_at_s: float | None = None
        self._aside = Bulkhead("secret of the hooks", 2)
        self.reconfigure(settings)
        self._tokens = float(self.settings.alerts_per_minute_max)
        for service_controller in control_loop.services.values():
            service_controller.sources.append(partial(self._say, service_controller))

    def reconfigure(self, settings: Settings) -> None:
        """Take over other maps, limits and keys; what is remembered stays."""
        self.settings = settings.alerts
        self.keys = HookKeys(settings.alerts)
        self._control_loop.tasks.spawn(self._load(self.keys), "secret of the hooks")
        self._book.remembered_max = settings.alerts.remembered_max
        self._maps = [known.plain() for known in settings.alerts.map]

    async def _load(self, keys: HookKeys) -> None:
        """Read the secret. Until then, and if its disk hangs, signatures are refused, and an alarm says why."""
        try:
            async with asyncio.timeout(SECRET_WAIT_S):
                await self._aside.call(keys.load)
        except (TimeoutError, BulkheadFull):
            pass
        if keys is not self.keys:
            return
        if keys.trouble is not None:
            self._control_loop.alarms.up("alerts_secret_unusable", keys.trouble)
        else:
            self._control_loop.alarms.down("alerts_secret_unusable")

    # -- in
    async def take(self, reports: Sequence[RawAlert], sender: str) -> list[AlertResult]:
        """Take alerts in, and return what became of each once the disk has them.

        Raise OperatorError, with no effect, if there are too many; raise JournalUnavailable (503) if the disk does not take
        them in time: they count nevertheless, and are written as soon as it does.
        """
        self._admit(len(reports))
        waits: list[asyncio.Future[int]] = []
        outcomes = []
        for number, report in enumerate(reports, 1):
            outcomes.append(self._take(report, sender, waits))
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)  # 0.15 ms each: the tick is not to wait for a hundred of them
        for outcome in outcomes:
            self._counts[outcome.service or "", outcome.result] += 1
        self._alarm([outcome for outcome in outcomes if outcome.unusable])
        self._propose()
        if waits and (await asyncio.wait(waits, timeout=APPEND_TIMEOUT_S))[1]:
            raise _unwritten()
        return outcomes

    def _admit(self, count: int) -> None:
        limits, now_s = self.settings, clock.now_s()
        if count > limits.alerts_max:
            detail = f"{count} alerts in one request (alerts.alerts_max = {limits.alerts_max}): set max_alerts"
            raise OperatorError(413, "too_many_alerts", detail, exit_code=9)
        most = float(limits.alerts_per_minute_max)
        self._tokens = min(most, self._tokens + (now_s - self._tokens_at_s) * most / _MINUTE_S)
        self._tokens_at_s = now_s
        if count > self._tokens:
            detail = f"more than alerts.alerts_per_minute_max = {limits.alerts_per_minute_max}; send them again later"
            raise OperatorError(503, "alert_rate", detail, exit_code=9)
        self._tokens -= count

    def _take(self, report: RawAlert, sender: str, waits: list[asyncio.Future[int]]) -> AlertResult:
        alert = parse(report, self._maps)
        if isinstance(alert, InvalidAlert):
            return AlertResult(report.fingerprint, alert.code, alert.detail)
        service_controller = self._control_loop.services.get(alert.service)
        if service_controller is None:
            names = ", ".join(self._control_loop.services) or "none"
            detail = f"there is no service {shorten_line(alert.service, 63)!r}; there are: {names}"
            return AlertResult(report.fingerprint, "service_unknown", detail)
        known = self._book.known(alert)
        if known is None or (alert.status == "resolved" and not known.over):
            return self._keep(service_controller, alert, sender, waits)
        if not known.over:
            self._book.last_seen(alert, clock.wall_s())
        if known.seq == 0:
            raise _unwritten()
        detail = f"known since {clock.iso(known.at)}: {known.data['fate']}"
        return AlertResult(report.fingerprint, "duplicate", detail, service_controller.name)

    def _keep(
        self, service_controller: ServiceController, alert: Alert, sender: str, waits: list[asyncio.Future[int]]
    ) -> AlertResult:
        active = service_controller.registry.active
        version, since = (active.version, active.since) if active is not None else (None, 0.0)
        found = decide(alert, version, since, self.settings.fresh_s, clock.wall_s())
        waits.append(self._journal(service_controller, alert, found, sender))
        return AlertResult(alert.fingerprint, found.disposition, found.detail, service_controller.name)

    def _journal(
        self, service_controller: ServiceController, alert: Alert, found: Decision, sender: str
    ) -> asyncio.Future[int]:
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_disk(seq: int) -> None:
            if (remembered := self._book.known(alert)) is not None:
                remembered.seq = seq
            if not written.done():
                written.set_result(seq)

        record = Record(kinds.ALERT, sender, data_of(alert, found))
        change = service_controller.executor.perform([record], clock.now_ns(), on_disk)
        if change.entry is not None:
            self._book.apply(change.entry)
        return written

    def _alarm(self, unusable: Sequence[AlertResult]) -> None:
        if unusable:
            self._unusable_at_s = clock.now_s()
            told = f"alert {unusable[-1].fingerprint} reaches nobody: {unusable[-1].detail}"
            self._control_loop.alarms.up("alert_unusable", told)

    # -- what stands
    def _standing(self, service_controller: ServiceController, kind: Kind) -> list[Remembered]:
        active = service_controller.registry.active
        if active is None:
            return []
        return self._book.firing(service_controller.name, kind, active.version, active.since)

    def _say(self, service_controller: ServiceController, now_ns: int) -> tuple[TriggerResult, ...]:
        """Return what the alerts of one service say at a tick: a source of its bench."""
        return tuple(self._result(service_controller, kind, now_ns) for kind in _KINDS)

    def _result(self, service_controller: ServiceController, kind: Kind, now_ns: int) -> TriggerResult:
        rules = service_controller.service.rules
        action = rules.quality.action if kind == "quality" else rules.business.action
        standing = self._standing(service_controller, kind)
        if not standing and not self.settings.open:
            return not_configured(kind, action)
        return result(kind, action, standing, self.settings.fresh_s, clock.wall_s(), now_ns)

    def _propose(self) -> None:
        """Ask people about each live alert whose rule says `ask`; the machine knows which it has asked about before."""
        now_ns, now_s = clock.now_ns(), clock.wall_s()
        for service_controller in self._control_loop.services.values():
            for kind in _KINDS:
                said = self._result(service_controller, kind, now_ns)
                if said.action != "ask" or said.state != "fail":
                    continue
                for found in live(self._standing(service_controller, kind), self.settings.fresh_s, now_s):
                    cause = f"{kind}:{found.data['name']}"
                    if not service_controller.registry.proposals.wants(found.data["about"], cause, now_ns):
                        continue
                    cost = service_controller.impact(said.as_dict(), now_ns)
                    told = {name: found.data[name] for name in ("name", "summary", "fingerprint", "labels")}
                    due = ProposalDue(found.data["about"], cause, said.as_dict(), told, cost, found.actor)
                    service_controller.service_document(due, now_ns)

    # -- the office
    def on_second(self, now_ns: int) -> None:
        """Ask people where nobody could be asked before, and let an old alarm go."""
        self._propose()
        if self.keys.trouble is None:
            self._control_loop.alarms.down("alerts_secret_unusable")
        if self._unusable_at_s is not None and clock.now_s() - self._unusable_at_s > UNUSABLE_UP_S:
            self._unusable_at_s = None
            self._control_loop.alarms.down("alert_unusable")

    def status(self, service: str) -> Document:
        """Return the alerts that stand against the active version."""
        service_controller = self._control_loop.services[service]
        found = [remembered for kind in _KINDS for remembered in self._standing(service_controller, kind)]
        return {"alerts": [shown(remembered) for remembered in found[:SHOWN_MAX]]}

    def recent(self, limit: int) -> Document:
        """Return the alerts that were heard of last, newest first: `/v1/alerts`."""
        return {"remembered": len(self._book), "alerts": [shown(found) for found in self._book.recent(limit)]}

    def metrics(self) -> Iterable[Metric]:
        """How many came, by what became of them, and how many stand."""
        came = CounterMetricFamily(
            PREFIX + "alerts", "Alerts that came in, by what became of them.", labels=["service", "result"]
        )
        for (service, outcome), count in sorted(self._counts.items()):
            came.add_metric([service, outcome], count)
        standing = GaugeMetricFamily(
            PREFIX + "alerts_standing", "Alerts that stand against the active version.", labels=["service", "kind"]
        )
        for service_controller in self._control_loop.services.values():
            for kind in _KINDS:
                standing.add_metric([service_controller.name, kind], len(self._standing(service_controller, kind)))
        return came, standing


def _unwritten() -> JournalUnavailable:
    return JournalUnavailable(
        f"no answer from the disk within {APPEND_TIMEOUT_S:g} s",
        consequence="the alert counts nevertheless, and is written as soon as the disk takes it",
    )


def shown(found: Remembered) -> Document:
    """Return a remembered alert with times for people."""
    starts_at = found.data["starts_at"]
    return {
        "service": found.service,
        **{name: found.data[name] for name in ("kind", "name", "summary", "fingerprint", "version", "about")},
        "status": "resolved" if found.over else "firing",
        "fate": found.data["fate"],
        "detail": found.data["detail"],
        "sender": found.actor,
        "starts_at": None if starts_at is None else clock.iso(starts_at),
        "at": clock.iso(found.at),
        "heard_at": clock.iso(found.heard_at),
        "labels": found.data["labels"],
        "seq": found.seq or None,
    }
