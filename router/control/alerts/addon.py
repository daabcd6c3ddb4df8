"""Takes incoming alerts: each is decided once, remembered, and journalled. Alerts that count are triggers.

An alert is folded first and journalled at once, as a verdict is: a full disk must not keep a version in service that is
known to be bad. The sender gets its response once the entry is on the disk. If the disk does not take it in time, the
response is 503, so the sender tries again.

Limits hold for alerts that are new, because a known one costs nothing: a sender that repeats a request of too many alerts gets
the next ones taken each time, and comes to an end.

Why: docs/decisions.md#a-webhook-is-taken-alert-by-alert.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Final, get_args

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document, TriggerSource
from router.control.alerts.keys import HookKeys
from router.control.alerts.results import RETRY_AFTER_S_MAX, UNUSABLE, AlertResult, BatchResult, Outcome
from router.control.alerts.webhooks import UnreadableAlert
from router.control.bulkhead import Bulkhead, BulkheadFull
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.store.journal_file import APPEND_TIMEOUT_S
from router.control.token_bucket import TokenBucket
from router.control.views.metric_table import counter, gauge
from router.errors.codes import RefusalCode
from router.rollout.alerts.alert import (
    LABEL_CHARS_MAX,
    Alert,
    Decision,
    InvalidAlert,
    Kind,
    RawAlert,
    cut_labels,
    decide,
    parse,
)
from router.rollout.alerts.alert_store import (
    AlertStore,
    Key,
    StoredAlert,
    fact_of_alert,
    key_of,
    not_configured,
    result,
    standing_alerts,
)
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.judge.verdict import TriggerResult
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


@dataclass(slots=True)
class _Batch:
    """One request on its way: the results so far, and what its alerts wait for."""

    sender: str
    results: list[AlertResult] = field(default_factory=list)
    waits: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    """By index of the alert: done once the disk has its entry."""
    new: int = 0
    known: int = 0
    rate_exceeded: int = 0

    def wait_for(self, written: asyncio.Future[int]) -> None:
        """Make the alert that is being taken wait for the disk."""
        self.waits[len(self.results)] = written


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
        self._left_out_ns: int | None = None
        self._unwritten: dict[Key, asyncio.Future[int]] = {}
        """The newest entry of each alert that the disk does not have yet; as many as the queue of the journal holds."""
        self._not_kept: set[Key] = set()
        """Alerts that count and found the queue of the journal full."""
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
    async def take(self, alerts: Sequence[RawAlert | UnreadableAlert], sender: str) -> BatchResult:
        """Take alerts, and return the result of each once the disk has them.

        An alert that the disk does not take in time counts nevertheless, and is written as soon as the disk takes it; its
        outcome is "later", as that of an alert beyond a limit.
        """
        batch = _Batch(sender)
        for number, raw_alert in enumerate(alerts, 1):
            batch.results.append(self._accept_one(raw_alert, batch))
            if number % ALERTS_PER_TURN == 0:
                await asyncio.sleep(0)  # an alert takes 0.15 ms, and the tick must not wait for a hundred alerts
        for one in batch.results:
            self._counts[one.service or "", one.result] += 1
        self._raise_unusable([one for one in batch.results if one.unusable])
        self._propose()
        if batch.waits:
            await asyncio.wait(set(batch.waits.values()), timeout=self._append_timeout_s)
        for index, written in batch.waits.items():
            if not written.done():
                batch.results[index] = batch.results[index].unwritten()
        per_s = self.settings.alerts_per_minute_max / 60
        return BatchResult(batch.results, max(1, ceil(min(RETRY_AFTER_S_MAX, batch.rate_exceeded / per_s))))

    def report_left_out(self, count: int, detail: str) -> None:
        """Raise the alarm about alerts that the router never got: `count` of them, 0 if that is unknown."""
        self._counts["", "truncated"] += count
        self._left_out_ns = clock.now_ns()
        self._control_loop.alarms.up("alerts_truncated", detail)

    def _accept_one(self, raw_alert: RawAlert | UnreadableAlert, batch: _Batch) -> AlertResult:
        if isinstance(raw_alert, UnreadableAlert):
            ignored = raw_alert.code is RefusalCode.UNMAPPED
            return AlertResult(
                raw_alert.fingerprint,
                "unmapped" if ignored else UNUSABLE,
                raw_alert.detail,
                name=raw_alert.name,
                outcome="ignored" if ignored else "refused",
                code=raw_alert.code,
            )
        alert = parse(raw_alert, self._maps)
        if isinstance(alert, InvalidAlert):
            return _not_taken(raw_alert, alert.code, alert.detail)
        service_controller = self._control_loop.services.get(alert.service)
        if service_controller is None:
            names = ", ".join(self._control_loop.services) or "none"
            detail = f"there is no service {shorten_line(alert.service, 63)!r}; there are: {names}"
            return _not_taken(raw_alert, RefusalCode.SERVICE_UNKNOWN, detail)
        if raw_alert.renews:
            alert = self._begun(alert)
        cut = (*raw_alert.cut, *(f"labels.{name}" for name in cut_labels(raw_alert.labels)))
        return replace(self._take_one(service_controller, alert, batch), name=alert.name, cut=tuple(dict.fromkeys(cut)))

    def _begun(self, alert: Alert) -> Alert:
        """Return an alert whose sender gives no start with the start of the same alert that still fires, else with now."""
        newest = self._store.newest(alert.service, alert.fingerprint)
        if newest is not None and (not newest.ended or alert.status == "resolved"):
            return replace(alert, starts_at=newest.fact.starts_at)
        return alert if alert.status == "resolved" else replace(alert, starts_at=clock.wall_s())

    def _take_one(self, service_controller: ServiceController, alert: Alert, batch: _Batch) -> AlertResult:
        known, key = self._store.known(alert), key_of(alert.service, alert.fingerprint, alert.starts_at)
        if known is None and (limited := self._limited(alert, batch)) is not None:
            return limited
        if known is None or (alert.status == "resolved" and not known.ended) or key in self._not_kept:
            batch.new += 1
            return self._record(service_controller, alert, batch)
        batch.known += 1
        if not known.ended:
            self._store.mark_seen(alert, clock.wall_s())
        if (unwritten := self._unwritten.get(key)) is not None:
            batch.wait_for(unwritten)
        detail = f"known since {clock.iso(known.at)}: {known.fact.fate}"
        return AlertResult(alert.fingerprint, "duplicate", detail, service_controller.name)

    def _limited(self, alert: Alert, batch: _Batch) -> AlertResult | None:
        """Return the result of a new alert that is beyond a limit."""
        limits = self.settings
        code = RefusalCode.TOO_MANY_ALERTS
        outcome: Outcome = "later"
        if batch.new + batch.known >= limits.remembered_max:
            # A repeat would not help: the first ones would be forgotten, and be new each time.
            outcome = "refused"
            detail = f"alerts.remembered_max = {limits.remembered_max}, and one request has more alerts: set max_alerts"
        elif batch.new >= limits.alerts_max:
            detail = (
                f"alerts.alerts_max = {limits.alerts_max} new ones are taken of one request; send it again for the next"
            )
        elif self._rate.take(1, clock.now_s()):
            code, batch.rate_exceeded = RefusalCode.ALERT_RATE, batch.rate_exceeded + 1
            detail = f"more than alerts.alerts_per_minute_max = {limits.alerts_per_minute_max}; send it again later"
        else:
            return None
        return AlertResult(alert.fingerprint, code.value, detail, alert.service, alert.name, outcome, code)

    def _record(self, service_controller: ServiceController, alert: Alert, batch: _Batch) -> AlertResult:
        active = service_controller.registry.active
        version, since = (active.version, active.since) if active is not None else (None, 0.0)
        found = decide(alert, version, since, self.settings.fresh_s, clock.wall_s())
        batch.wait_for(self._append(service_controller, alert, found, batch.sender))
        return AlertResult(alert.fingerprint, found.disposition, found.detail, service_controller.name)

    def _append(
        self, service_controller: ServiceController, alert: Alert, found: Decision, sender: str
    ) -> asyncio.Future[int]:
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        key = key_of(alert.service, alert.fingerprint, alert.starts_at)

        def on_disk(seq: int) -> None:
            self._store.mark_written(alert, seq)
            if self._unwritten.get(key) is written:
                del self._unwritten[key]
            written.set_result(seq)

        record = Record(fact_of_alert(alert, found), sender)
        self._not_kept.discard(key)
        self._unwritten[key] = written
        change = service_controller.executor.perform([record], clock.now_ns(), on_disk)
        if not change.kept:  # the queue of the journal is full: the alert counts, and has to be sent again
            del self._unwritten[key]
            if len(self._not_kept) < self.settings.remembered_max:
                self._not_kept.add(key)
        if change.entry is not None:
            self._store.apply(change.entry)
        return written

    def _raise_unusable(self, unusable: Sequence[AlertResult]) -> None:
        if unusable:
            self._unusable_ns = clock.now_ns()
            last = unusable[-1]
            detail = f"alert {last.fingerprint or last.name or 'without a name'} is lost: {last.detail}"
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
                    cause = f"{kind}:{found.fact.name}"
                    about = found.fact.about or ""
                    if not service_controller.registry.proposals.is_new(about, cause, now_ns):
                        continue
                    cost = service_controller.impact(found_result.as_dict(), now_ns)
                    alert = {name: getattr(found.fact, name) for name in ("name", "summary", "fingerprint", "labels")}
                    due = ProposalDue(about, cause, found_result.as_dict(), alert, cost, found.actor)
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
        if self._left_out_ns is not None and now_ns - self._left_out_ns > UNUSABLE_ALARM_NS:
            self._left_out_ns = None
            self._control_loop.alarms.down("alerts_truncated")

    def status(self, service: str) -> Document:
        """Return the firing alerts about the active version."""
        service_controller = self._control_loop.services[service]
        found = [remembered for kind in _KINDS for remembered in self._firing(service_controller, kind)]
        return {"alerts": [as_document(remembered) for remembered in found[:LISTED_MAX]]}

    def recent(self, limit: int, service: str | None = None) -> Document:
        """Return the alerts that were seen last, newest first: `/v1/alerts`. Refusal if there is no such `service`."""
        only = None if service is None else self._control_loop.services[service].name
        return {
            "remembered": len(self._store),
            "alerts": [as_document(found) for found in self._store.recent(limit, only)],
        }

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


def _not_taken(raw_alert: RawAlert, code: RefusalCode, detail: str) -> AlertResult:
    name = shorten_line(raw_alert.labels.get("alertname", "") or raw_alert.name, LABEL_CHARS_MAX)
    outcome: Outcome = "ignored" if code is RefusalCode.UNMAPPED else "refused"
    return AlertResult(raw_alert.fingerprint, code.value, detail, name=name, outcome=outcome, code=code)


def as_document(found: StoredAlert) -> Document:
    """Return a remembered alert with times in RFC 3339."""
    fact, starts_at = found.fact, found.fact.starts_at
    return {
        "service": found.service,
        **{name: getattr(fact, name) for name in ("kind", "name", "summary", "fingerprint", "version", "about")},
        "status": "resolved" if found.ended else "firing",
        "fate": fact.fate,
        "detail": fact.detail,
        "sender": found.actor,
        "starts_at": None if starts_at is None else clock.iso(starts_at),
        "at": clock.iso(found.at),
        "heard_at": clock.iso(found.last_seen_at),
        "labels": fact.labels,
        "seq": found.seq or None,
    }
