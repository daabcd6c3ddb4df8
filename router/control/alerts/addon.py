"""Takes incoming alerts: each is decided once, remembered, and journalled. Alerts that count are triggers.

An alert is folded first and journalled at once, as a verdict is: a full disk must not keep a version in service that is
known to be bad. The sender gets its response once the entry is on the disk. If the disk does not take it in time, the
response is 503, so the sender tries again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, get_args

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document, TriggerSource
from router.control.alerts.keys import HookKeys
from router.control.bulkhead import Bulkhead, BulkheadFull
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.store.journal import APPEND_TIMEOUT_S, JournalUnavailable
from router.control.token_bucket import TokenBucket
from router.control.views.metric_table import counter, gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.alerts.alert import Alert, Decision, InvalidAlert, Kind, RawAlert, decide, parse
from router.rollout.alerts.alert_store import (
    AlertStore,
    StoredAlert,
    entry_data,
    not_configured,
    result,
    standing_alerts,
)
from router.rollout.judge.verdict import TriggerResult
from router.rollout.model import entry as entry_types
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.model.events import ProposalDue
from router.rollout.text import shorten_line
from router.runtime import clock
from router.settings.settings import Settings

log = logging.getLogger(__name__)
UNUSABLE_ALARM_NS: Final = 3_600_000_000_000
"""How long the alarm about unusable alerts stays up after the last one."""
SECRET_WAIT_S: Final = 5.0
LISTED_MAX: Final = 10
ALERTS_PER_TURN: Final = 5
"""Alerts that are processed before the event loop runs other callbacks."""
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class AlertResult:
    """The result of one alert: its disposition, or `duplicate`, `unmapped`, `service_missing`, `service_unknown`."""

    fingerprint: str
    result: str
    detail: str
    service: str | None = None

    @property
    def unusable(self) -> bool:
        """Whether the alert matches no service, because of a mistake in the settings or at the sender."""
        return self.result in ("service_missing", "service_unknown")


class AlertsAddon(Addon):
    """Alerts of all services. `keys` authenticates their senders."""

    def __init__(
        self,
        control_loop: ControlLoop,
        settings: Settings,
        entries: Sequence[Entry],
        append_timeout_s: float = APPEND_TIMEOUT_S,
        secret_wait_s: float = SECRET_WAIT_S,
    ) -> None:
        self._control_loop = control_loop
        self._append_timeout_s = append_timeout_s
        self._secret_wait_s = secret_wait_s
        self._store = AlertStore(settings.alerts.remembered_max)
        for entry in entries:
            try:
                self._store.apply(entry)
            except (KeyError, TypeError, ValueError) as error:  # of a journal that was begun from an edited copy
                log.warning("entry %d is not a valid alert: %r", entry.seq, error)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._rate = TokenBucket(*_burst_and_rate(settings), clock.now_s())
        self._unusable_ns: int | None = None
        self._bulkhead = Bulkhead("secret of the hooks", 2)
        self.reconfigure(settings)

    def trigger_sources(self) -> dict[str, TriggerSource]:
        """Return the triggers `quality` and `business` of each service."""
        services = self._control_loop.services
        return {
            name: partial(self._trigger_results, service_controller) for name, service_controller in services.items()
        }

    def reconfigure(self, settings: Settings) -> None:
        """Apply changed maps, limits and keys. Remembered alerts stay."""
        self.settings = settings.alerts
        self.keys = HookKeys(settings.alerts)
        self._rate.resize(*_burst_and_rate(settings))
        self._control_loop.tasks.spawn(self._load(self.keys), "secret of the hooks")
        self._store.reconfigure(settings.alerts.remembered_max)
        self._maps = [known.as_label_map() for known in settings.alerts.map]

    async def _load(self, keys: HookKeys) -> None:
        """Read the secret. Until it is read, signatures are refused; if its disk hangs, an alarm gives the reason."""
        try:
            async with asyncio.timeout(self._secret_wait_s):
                await self._bulkhead.call(keys.load)
        except (TimeoutError, BulkheadFull):
            pass
        if keys is not self.keys:
            return
        if keys.error is not None:
            self._control_loop.alarms.up("alerts_secret_unusable", keys.error)
        else:
            self._control_loop.alarms.down("alerts_secret_unusable")

    # -- incoming alerts
    async def take(self, raw_alerts: Sequence[RawAlert], sender: str) -> list[AlertResult]:
        """Take alerts, and return the result of each once the disk has them.

        Raise Refusal, without any effect, if there are too many. Raise JournalUnavailable if the disk does not
        take them in time: the alerts count nevertheless, and are written as soon as the disk takes them.
        """
        self._check_limits(len(raw_alerts))
        waits: list[asyncio.Future[int]] = []
        outcomes = []
        for number, raw_alert in enumerate(raw_alerts, 1):
            outcomes.append(self._accept_one(raw_alert, sender, waits))
            if number % ALERTS_PER_TURN == 0:
                await asyncio.sleep(0)  # an alert takes 0.15 ms, and the tick must not wait for a hundred alerts
        for outcome in outcomes:
            self._counts[outcome.service or "", outcome.result] += 1
        self._raise_unusable([outcome for outcome in outcomes if outcome.unusable])
        self._propose()
        if waits and (await asyncio.wait(waits, timeout=self._append_timeout_s))[1]:
            raise _unwritten()
        return outcomes

    def _check_limits(self, count: int) -> None:
        limits = self.settings
        if count > limits.alerts_max:
            detail = f"{count} alerts in one request (alerts.alerts_max = {limits.alerts_max}): set max_alerts"
            raise Refusal(RefusalCode.TOO_MANY_ALERTS, detail)
        if self._rate.take(count, clock.now_s()):
            detail = f"more than alerts.alerts_per_minute_max = {limits.alerts_per_minute_max}; send them again later"
            raise Refusal(RefusalCode.ALERT_RATE, detail)

    def _accept_one(self, raw_alert: RawAlert, sender: str, waits: list[asyncio.Future[int]]) -> AlertResult:
        alert = parse(raw_alert, self._maps)
        if isinstance(alert, InvalidAlert):
            return AlertResult(raw_alert.fingerprint, alert.code, alert.detail)
        service_controller = self._control_loop.services.get(alert.service)
        if service_controller is None:
            names = ", ".join(self._control_loop.services) or "none"
            detail = f"there is no service {shorten_line(alert.service, 63)!r}; there are: {names}"
            return AlertResult(raw_alert.fingerprint, "service_unknown", detail)
        known = self._store.known(alert)
        if known is None or (alert.status == "resolved" and not known.ended):
            return self._record(service_controller, alert, sender, waits)
        if not known.ended:
            self._store.mark_seen(alert, clock.wall_s())
        if known.seq == 0:
            raise _unwritten()
        detail = f"known since {clock.iso(known.at)}: {known.data['fate']}"
        return AlertResult(raw_alert.fingerprint, "duplicate", detail, service_controller.name)

    def _record(
        self, service_controller: ServiceController, alert: Alert, sender: str, waits: list[asyncio.Future[int]]
    ) -> AlertResult:
        active = service_controller.registry.active
        version, since = (active.version, active.since) if active is not None else (None, 0.0)
        found = decide(alert, version, since, self.settings.fresh_s, clock.wall_s())
        waits.append(self._append(service_controller, alert, found, sender))
        return AlertResult(alert.fingerprint, found.disposition, found.detail, service_controller.name)

    def _append(
        self, service_controller: ServiceController, alert: Alert, found: Decision, sender: str
    ) -> asyncio.Future[int]:
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_disk(seq: int) -> None:
            self._store.mark_written(alert, seq)
            if not written.done():
                written.set_result(seq)

        record = Record(entry_types.ALERT, sender, entry_data(alert, found))
        change = service_controller.executor.perform([record], clock.now_ns(), on_disk)
        if change.entry is not None:
            self._store.apply(change.entry)
        return written

    def _raise_unusable(self, unusable: Sequence[AlertResult]) -> None:
        if unusable:
            self._unusable_ns = clock.now_ns()
            detail = f"alert {unusable[-1].fingerprint} matches no service: {unusable[-1].detail}"
            self._control_loop.alarms.up("alert_unusable", detail)

    # -- firing alerts
    def _firing(self, service_controller: ServiceController, kind: Kind) -> list[StoredAlert]:
        active = service_controller.registry.active
        if active is None:
            return []
        return self._store.firing(service_controller.name, kind, active.version, active.since)

    def _trigger_results(self, service_controller: ServiceController, now_ns: int) -> tuple[TriggerResult, ...]:
        """Return the trigger results of one service's alerts at a tick: a source of its controller."""
        return tuple(self._result(service_controller, kind, now_ns) for kind in _KINDS)

    def _result(self, service_controller: ServiceController, kind: Kind, now_ns: int) -> TriggerResult:
        rules = service_controller.service.rules
        action = rules.quality.action if kind == "quality" else rules.business.action
        firing = self._firing(service_controller, kind)
        if not firing and not self.settings.open:
            return not_configured(kind, action)
        return result(kind, action, firing, self.settings.stands_for_s, clock.wall_s(), now_ns)

    def _propose(self) -> None:
        """Propose a rollback for each live alert whose rule has the action `ask`; the machine skips known proposals."""
        now_ns, now_s = clock.now_ns(), clock.wall_s()
        for service_controller in self._control_loop.services.values():
            for kind in _KINDS:
                found_result = self._result(service_controller, kind, now_ns)
                if found_result.action != "ask" or found_result.state != "fail":
                    continue
                for found in standing_alerts(self._firing(service_controller, kind), self.settings.stands_for_s, now_s):
                    cause = f"{kind}:{found.data['name']}"
                    if not service_controller.registry.proposals.is_new(found.data["about"], cause, now_ns):
                        continue
                    cost = service_controller.impact(found_result.as_dict(), now_ns)
                    alert = {name: found.data[name] for name in ("name", "summary", "fingerprint", "labels")}
                    due = ProposalDue(found.data["about"], cause, found_result.as_dict(), alert, cost, found.actor)
                    service_controller.handle(due, now_ns)

    # -- the add-on
    def on_second(self, now_ns: int) -> None:
        """Make the proposals that could not be made before, and clear an old alarm."""
        self._propose()
        if self.keys.error is None:
            self._control_loop.alarms.down("alerts_secret_unusable")
        if self._unusable_ns is not None and now_ns - self._unusable_ns > UNUSABLE_ALARM_NS:
            self._unusable_ns = None
            self._control_loop.alarms.down("alert_unusable")

    def status(self, service: str) -> Document:
        """Return the firing alerts about the active version."""
        service_controller = self._control_loop.services[service]
        found = [remembered for kind in _KINDS for remembered in self._firing(service_controller, kind)]
        return {"alerts": [as_document(remembered) for remembered in found[:LISTED_MAX]]}

    def recent(self, limit: int) -> Document:
        """Return the alerts that were seen last, newest first: `/v1/alerts`."""
        return {"remembered": len(self._store), "alerts": [as_document(found) for found in self._store.recent(limit)]}

    def metrics(self) -> Iterable[Metric]:
        """Return the counts of alerts by result, and the numbers of firing alerts."""
        counts = counter("alerts")
        for (service, outcome), count in sorted(self._counts.items()):
            counts.add_metric([service, outcome], count)
        firing = gauge("alerts_standing")
        for service_controller in self._control_loop.services.values():
            for kind in _KINDS:
                firing.add_metric([service_controller.name, kind], len(self._firing(service_controller, kind)))
        return counts, firing


def _burst_and_rate(settings: Settings) -> tuple[float, float]:
    """Return the alerts of one minute, and per second."""
    most = settings.alerts.alerts_per_minute_max
    return most, most / 60


def _unwritten() -> JournalUnavailable:
    return JournalUnavailable(
        f"no answer from the disk within {APPEND_TIMEOUT_S:g} s",
        consequence="the alert counts nevertheless, and is written as soon as the disk takes it",
    )


def as_document(found: StoredAlert) -> Document:
    """Return a remembered alert with times in RFC 3339."""
    starts_at = found.data["starts_at"]
    return {
        "service": found.service,
        **{name: found.data[name] for name in ("kind", "name", "summary", "fingerprint", "version", "about")},
        "status": "resolved" if found.ended else "firing",
        "fate": found.data["fate"],
        "detail": found.data["detail"],
        "sender": found.actor,
        "starts_at": None if starts_at is None else clock.iso(starts_at),
        "at": clock.iso(found.at),
        "heard_at": clock.iso(found.last_seen_at),
        "labels": found.data["labels"],
        "seq": found.seq or None,
    }
