"""The alerts that are remembered, and what they say of the active version: triggers `quality` and `business`.

The fold of the journal's `alert` entries, bounded: beyond `remembered_max` the one that was heard of longest ago is
forgotten. Should it come again it is judged anew, and as it began long ago by then, it is stale.

An alert that counts stands until it is resolved, until its version is not active any more, or until nothing was heard of it
for `fresh_s`: a sender that repeats it keeps it standing, one that has died does not keep a version on trial.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from router.rollout.alerts.alert import Alert, Decision, Kind
from router.rollout.judge.rules import Action
from router.rollout.judge.verdict import TriggerResult
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry

SECOND_NS: Final = 1_000_000_000
STANDING_MAX: Final = 1000
"""Alerts of one service and kind that stand at a time: looked at every tick, 0.3 ms. One is enough to fail."""
Key = tuple[str, str, float | None]


@dataclass(slots=True)
class Remembered:
    """One alert with what became of it. `at` is when it first came, `heard_at` when it last did (wall seconds)."""

    service: str
    data: dict[str, Any]
    at: float
    heard_at: float
    actor: str
    over: bool = False
    """It was resolved, or began anew."""
    seq: int = 0
    """Its place in the journal, 0 while the disk has not taken it."""

    @property
    def title(self) -> str:
        """Its name, and what it says."""
        name, summary = str(self.data["name"]), str(self.data["summary"])
        return f"{name}: {summary}" if summary else name


def key_of(service: str, fingerprint: str, starts_at: float | None) -> Key:
    """Return under what an alert is known; milliseconds are kept of its start."""
    return service, fingerprint, None if starts_at is None else round(starts_at, 3)


def data_of(alert: Alert, judged: Decision) -> dict[str, Any]:
    """Return the journal's data of an alert."""
    return {**alert.as_dict(), "fate": judged.disposition, "detail": judged.detail, "about": judged.about}


class AlertStore:
    """Alerts by service, fingerprint and start, the one heard of longest ago first."""

    def __init__(self, remembered_max: int) -> None:
        self.remembered_max = remembered_max
        self._known: OrderedDict[Key, Remembered] = OrderedDict()
        self._newest: dict[tuple[str, str], Key] = {}
        self._counting: dict[tuple[str, str], dict[Key, Remembered]] = {}
        """By service and kind, those that may stand: few, and looked at every tick."""

    def __len__(self) -> int:
        return len(self._known)

    def apply(self, entry: Entry) -> None:
        """Fold a fact of the journal; what is no `alert` is passed over."""
        if entry.type != kinds.ALERT:
            return
        data = entry.data
        key = key_of(entry.service, data["fingerprint"], data["starts_at"])
        known = self._known.get(key)
        if known is not None:
            known.over = known.over or data["status"] == "resolved"
            known.heard_at = max(known.heard_at, entry.at)
            known.seq = known.seq or entry.seq
            if data["fate"] == "resolved" and known.data["fate"] != "resolved":
                known.data = {**known.data, "status": "resolved"}
        else:
            self._remember(key, entry)
        self._known.move_to_end(key)

    def _remember(self, key: Key, entry: Entry) -> None:
        data = entry.data
        over = data["status"] == "resolved"
        if (before := self._newest.get(key[:2])) is not None:
            self._known[before].over = True
        self._newest[key[:2]] = key
        found = Remembered(entry.service, dict(data), entry.at, entry.at, entry.actor, over, entry.seq)
        self._known[key] = found
        counting = self._counting.setdefault((entry.service, data["kind"]), {})
        if data["about"] is not None and len(counting) < STANDING_MAX:
            counting[key] = found
        while len(self._known) > self.remembered_max:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        key, found = self._known.popitem(last=False)
        if self._newest.get(key[:2]) == key:
            del self._newest[key[:2]]
        self._counting.get((found.service, found.data["kind"]), {}).pop(key, None)

    def known(self, alert: Alert) -> Remembered | None:
        """Return what is remembered of `alert`."""
        return self._known.get(key_of(alert.service, alert.fingerprint, alert.starts_at))

    def last_seen(self, alert: Alert, now_s: float) -> None:
        """A known alert came again, still firing."""
        key = key_of(alert.service, alert.fingerprint, alert.starts_at)
        self._known[key].heard_at = now_s
        self._known.move_to_end(key)

    def recent(self, limit: int) -> list[Remembered]:
        """Return the alerts that were heard of last, newest first."""
        newest: list[Remembered] = []
        for remembered in reversed(self._known.values()):
            if len(newest) == limit:
                break
            newest.append(remembered)
        return newest

    def firing(self, service: str, kind: Kind, active: str | None, active_since: float) -> list[Remembered]:
        """Return the alerts that count against the active version and are not over, oldest first."""
        counting = self._counting.get((service, kind))
        if not counting:
            return []
        for key, found in list(counting.items()):
            # A version that becomes active again begins anew: what was said of it before is not held against it.
            if found.over or found.data["about"] != active or found.at < active_since:
                del counting[key]
        return list(counting.values())


def result(
    kind: Kind, action: Action, standing: Sequence[Remembered], fresh_s: float, now_s: float, now_ns: int
) -> TriggerResult:
    """Return what the standing alerts say: fail with at least one that was heard of within `fresh_s`.

    Where a person is to be asked nothing is due: each alert has a proposal of its own (`live` tells which).
    """
    if found_live := live(standing, fresh_s, now_s):
        return _failing(kind, action, found_live, now_s, now_ns)
    if standing:
        silent_s = now_s - standing[-1].heard_at
        reason = f"alert {standing[-1].title} is not resolved, but nothing was heard of it for {silent_s:.0f} s"
        return _result(kind, "inconclusive", action, reason, 0, distance="fails if it comes again")
    return _result(kind, "pass", action, "no alert stands", 0, distance="fails with the first alert that counts")


def live(standing: Sequence[Remembered], fresh_s: float, now_s: float) -> list[Remembered]:
    """Return those alerts of which something was heard within `fresh_s`."""
    return [found for found in standing if now_s - found.heard_at <= fresh_s]


def _failing(kind: Kind, action: Action, live: Sequence[Remembered], now_s: float, now_ns: int) -> TriggerResult:
    first, more = live[0], f" (and {len(live) - 1} more)" if len(live) > 1 else ""
    began_s = min(found.at if found.data["starts_at"] is None else found.data["starts_at"] for found in live)
    return _result(
        kind,
        "fail",
        action,
        f"alert {first.title}{more}",
        len(live),
        distance="a person is asked" if action == "ask" else "acts now",
        failing=action != "ask",
        evidence_since_ns=now_ns - int(max(0.0, now_s - began_s) * SECOND_NS),
    )


def not_configured(kind: Kind, action: Action) -> TriggerResult:
    """Return the result where nobody may send alerts of this kind."""
    return _result(kind, "not_configured", action, "nobody may send alerts", 0, distance="set alerts.tokens")


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
