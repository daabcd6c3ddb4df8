"""The stored alerts, and their results for the active version: triggers `quality` and `business`.

The fold of the `alert` entries. Beyond `remembered_max` the alert that was last seen longest ago is dropped. If it arrives
again it is a new alert; because it began long ago, it is stale.

An alert that counts is firing until it is resolved, until its version is not active any more, or until it was not seen for
`stands_for_s`: a sender must repeat an alert to keep it firing.

Why: docs/decisions.md#an-alert-counts-against-one-version.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

from router.rollout.alerts.alert import Alert, Decision, Kind
from router.rollout.facts.alerts import AlertReceived
from router.rollout.facts.entry import Entry
from router.rollout.judge.rules import Action
from router.rollout.judge.verdict import TriggerResult
from router.rollout.units import SECOND_NS

FIRING_MAX: Final = 1000
"""Firing alerts of one service and kind; evaluating them at a tick takes 0.3 ms. One is enough to fail."""
Key = tuple[str, str, float | None]


@dataclass(slots=True)
class StoredAlert:
    """One alert with its disposition. `at`: first arrival, `last_seen_at`: last arrival (wall seconds)."""

    service: str
    fact: AlertReceived
    at: float
    last_seen_at: float
    actor: str
    ended: bool = False
    """It was resolved, or the same alert started again."""
    seq: int = 0
    """Its number in the journal; 0 until it is written."""

    @property
    def title(self) -> str:
        """Its name and summary."""
        return f"{self.fact.name}: {self.fact.summary}" if self.fact.summary else self.fact.name


def key_of(service: str, fingerprint: str, starts_at: float | None) -> Key:
    """Return the key of an alert; its start is rounded to milliseconds."""
    return service, fingerprint, None if starts_at is None else round(starts_at, 3)


def fact_of_alert(alert: Alert, decision: Decision) -> AlertReceived:
    """Return the fact of an alert with its disposition; the entry has its service."""
    return AlertReceived(
        fingerprint=alert.fingerprint,
        status=alert.status,
        starts_at=alert.starts_at,
        kind=alert.kind,
        version=alert.version,
        name=alert.name,
        summary=alert.summary,
        labels=dict(alert.labels),
        fate=decision.disposition,
        detail=decision.detail,
        about=decision.about,
    )


class AlertStore:
    """Alerts by service, fingerprint and start, in order of their last arrival."""

    def __init__(self, remembered_max: int) -> None:
        self._remembered_max = remembered_max
        self._known: OrderedDict[Key, StoredAlert] = OrderedDict()
        self._newest: dict[tuple[str, str], Key] = {}
        self._counting: dict[tuple[str, str], dict[Key, StoredAlert]] = {}
        """Alerts that may be firing, by service and kind: few, because every tick evaluates them."""

    def __len__(self) -> int:
        return len(self._known)

    def reconfigure(self, remembered_max: int) -> None:
        """Apply another limit from the next alert on."""
        self._remembered_max = remembered_max

    def apply(self, entry: Entry) -> None:
        """Apply a journal entry; only `alert` entries have an effect."""
        fact = entry.fact
        if not isinstance(fact, AlertReceived):
            return
        key = key_of(entry.service, fact.fingerprint, fact.starts_at)
        known = self._known.get(key)
        if known is not None:
            known.ended = known.ended or fact.status == "resolved"
            known.last_seen_at = max(known.last_seen_at, entry.at)
            known.seq = known.seq or entry.seq
            if fact.fate == "resolved" and known.fact.fate != "resolved":
                known.fact = replace(known.fact, status="resolved")
        else:
            self._add(key, entry, fact)
        self._known.move_to_end(key)

    def _add(self, key: Key, entry: Entry, fact: AlertReceived) -> None:
        ended = fact.status == "resolved"
        if (before := self._newest.get(key[:2])) is not None:
            self._known[before].ended = True
        self._newest[key[:2]] = key
        stored = StoredAlert(entry.service, fact, entry.at, entry.at, entry.actor, ended, entry.seq)
        self._known[key] = stored
        counting = self._counting.setdefault((entry.service, fact.kind), {})
        if fact.about is not None and len(counting) < FIRING_MAX:
            counting[key] = stored
        while len(self._known) > self._remembered_max:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        key, stored = self._known.popitem(last=False)
        if self._newest.get(key[:2]) == key:
            del self._newest[key[:2]]
        self._counting.get((stored.service, stored.fact.kind), {}).pop(key, None)

    def known(self, alert: Alert) -> StoredAlert | None:
        """Return the stored alert of `alert`, or None."""
        return self._known.get(key_of(alert.service, alert.fingerprint, alert.starts_at))

    def newest(self, service: str, fingerprint: str) -> StoredAlert | None:
        """Return the stored alert of this fingerprint that began last, or None."""
        key = self._newest.get((service, fingerprint))
        return None if key is None else self._known[key]

    def mark_seen(self, alert: Alert, now_s: float) -> None:
        """Record that a stored alert arrived again, still firing."""
        key = key_of(alert.service, alert.fingerprint, alert.starts_at)
        self._known[key].last_seen_at = now_s
        self._known.move_to_end(key)

    def mark_written(self, alert: Alert, seq: int) -> None:
        """Record the number in the journal of an alert, if it is still stored."""
        if (stored := self.known(alert)) is not None:
            stored.seq = seq

    def recent(self, limit: int, service: str | None = None) -> list[StoredAlert]:
        """Return the `limit` alerts, of one service or of all, that arrived last, newest first."""
        newest: list[StoredAlert] = []
        for stored in reversed(self._known.values()):
            if len(newest) == limit:
                break
            if service in (None, stored.service):
                newest.append(stored)
        return newest

    def firing(self, service: str, kind: Kind, active: str | None, active_since: float) -> list[StoredAlert]:
        """Return the alerts that count against the active version and have not ended, oldest first."""
        counting = self._counting.get((service, kind))
        if not counting:
            return []
        for key, stored in list(counting.items()):
            # Alerts from before the promotion do not count for a version that becomes active again.
            if stored.ended or stored.fact.about != active or stored.at < active_since:
                del counting[key]
        return list(counting.values())


def result(
    kind: Kind, action: Action, firing: Sequence[StoredAlert], stands_for_s: float, now_s: float, now_ns: int
) -> TriggerResult:
    """Return the result of the firing alerts: fail if at least one stands, that is, arrived within `stands_for_s`.

    With the action `ask` the result is never due: each alert has its own proposal (see `standing_alerts`).
    """
    if recent := standing_alerts(firing, stands_for_s, now_s):
        return _failing(kind, action, recent, now_s, now_ns)
    if firing:
        silent_s = now_s - firing[-1].last_seen_at
        reason = f"alert {firing[-1].title} is not resolved, but it was not received again for {silent_s:.0f} s"
        return _result(kind, "inconclusive", action, reason, 0, distance="fails if it comes again")
    return _nothing_fires(kind, action)


@cache
def _nothing_fires(kind: Kind, action: Action) -> TriggerResult:
    return _result(kind, "pass", action, "no alert is firing", 0, distance="fails with the first alert that counts")


def standing_alerts(firing: Sequence[StoredAlert], stands_for_s: float, now_s: float) -> list[StoredAlert]:
    """Return the alerts that arrived within `stands_for_s`: an alert stands until it is resolved, but not for ever."""
    return [stored for stored in firing if now_s - stored.last_seen_at <= stands_for_s]


def _failing(kind: Kind, action: Action, firing: Sequence[StoredAlert], now_s: float, now_ns: int) -> TriggerResult:
    first, more = firing[0], f" (and {len(firing) - 1} more)" if len(firing) > 1 else ""
    began_s = min(stored.at if stored.fact.starts_at is None else stored.fact.starts_at for stored in firing)
    return _result(
        kind,
        "fail",
        action,
        f"alert {first.title}{more}",
        len(firing),
        distance="an operator decides" if action == "ask" else "acts now",
        failing=action != "ask",
        evidence_since_ns=now_ns - int(max(0.0, now_s - began_s) * SECOND_NS),
    )


@cache
def not_configured(kind: Kind, action: Action) -> TriggerResult:
    """Return the result for a kind of alerts without tokens in the settings."""
    return _result(kind, "not_configured", action, "no sender of alerts is configured", 0, distance="set alerts.tokens")


def _result(
    kind: Kind,
    state: Literal["pass", "fail", "inconclusive", "not_configured"],
    action: Action,
    reason: str,
    count: int,
    *,
    distance: str,
    failing: bool = False,
    evidence_since_ns: int | None = None,
) -> TriggerResult:
    configured = state != "not_configured"
    return TriggerResult(
        kind=kind,
        detail="alert",
        state=state,
        action=action,
        reason=reason,
        distance=distance,
        failing=failing,
        value=float(count) if configured else None,
        limit=0.0 if configured else None,
        samples=count,
        evidence_since_ns=evidence_since_ns,
    )
