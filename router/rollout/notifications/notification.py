"""The notification of a journal entry: title, facts, data, and a path of the admin API.

The id depends only on the journal entry. After a restart the same entry gives the same id, so receivers can detect duplicates
(delivery is at least once).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

from router.rollout.model import entry as entry_types
from router.rollout.model.entry import SWITCHES, Entry
from router.rollout.stats.figures import unit
from router.rollout.text import format_duration, format_micros, format_millis

Topic = Literal["rollback", "switch", "no_better_target", "proposal", "drill", "incident", "alert", "alarm", "test"]
Severity = Literal["critical", "warning", "info"]

TRIGGER_MEMBERS: Final = ("kind", "detail", "value", "limit", "baseline", "samples", "window_s", "reason")
LASTING: Final[frozenset[Topic]] = frozenset({"rollback", "no_better_target", "proposal", "incident"})
"""Topics that are of use for a day: an operator has to act on them. The others are of use for an hour."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One notification. `facts` are (label, text) for display, `data` is the same for programs. `at` is wall time in seconds.

    `service` is "" for the whole router. `path` of the admin API has details.
    """

    id: str
    topic: Topic
    service: str
    severity: Severity
    title: str
    at: float
    facts: tuple[tuple[str, str], ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    path: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def from_dict(plain: Mapping[str, Any]) -> Notification:
    """Return the notification that `as_dict` wrote."""
    return Notification(**{**plain, "facts": tuple((label, text) for label, text in plain["facts"])})


def is_lasting(notification: Notification) -> bool:
    """Return whether a notification is of use for a day, and not only for an hour."""
    return notification.topic in LASTING


def notification_of(entry: Entry, times: Mapping[str, Any] | None = None) -> Notification | None:
    """Return the notification of `entry`, or None. `times`: data of the `confirmed` entry of a switch."""
    if entry.type not in _KINDS:
        return None
    topic, describe = _KINDS[entry.type]
    content = describe(entry, times or {})
    return None if content is None else _composed(entry, topic, content)


def notification_id(entry: Entry) -> str:
    """Return a unique id of `entry`: of a switch with its generation, else with boot and monotonic time."""
    service = entry.service or "router"
    if entry.type in SWITCHES:
        return f"{service}-{entry.type}-{entry.data['generation']}"
    return f"{service}-{entry.type}-{entry.boot}-{entry.monotonic_ns}"


def record_completed(opening: Entry, at: float) -> Notification:
    """Return the notification that the record of a rollback is complete; `opening` is the entry of the rollback."""
    rollback, incident = _composed(opening, "rollback", _rolled_back(opening, {})), opening.data["incident"]
    return replace(
        rollback,
        id=f"{incident}-complete",
        topic="incident",
        severity="info",
        title=f"{opening.service}: the record of incident {incident} is complete",
        at=at,
        path=f"/v1/incidents/{incident}.html",
    )


class _Content(NamedTuple):
    """What differs from one type of entry to another. `title` lacks the service; a fact without a text is left out."""

    severity: Severity
    title: str
    facts: Sequence[tuple[str, str | None]]
    data: dict[str, Any]
    path: str


def _composed(entry: Entry, topic: Topic, content: _Content) -> Notification:
    return Notification(
        id=notification_id(entry),
        topic=topic,
        service=entry.service,
        severity=content.severity,
        title=f"{entry.service}: {content.title}",
        at=entry.at,
        facts=(("Service", entry.service), *((label, text) for label, text in content.facts if text is not None)),
        data=content.data,
        path=content.path,
    )


# -- one function for each content
def _rolled_back(entry: Entry, times: Mapping[str, Any]) -> _Content:
    data = entry.data
    by = "automatically" if data["automatic"] else f"by {entry.actor}"
    return _Content(
        "critical",
        f"rolled back {by} from {data['from']} to {data['to']}",
        (
            ("From", f"{data['from']} ({'unreachable' if data['unreachable'] else 'quarantined'})"),
            ("To", data["to"]),
            *trigger_facts(data.get("trigger")),
            ("Reason", data["reason"]),
            ("Time taken", _time_taken(entry, times)),
            ("Incident", data["incident"]),
        ),
        _switch_data(entry, times) | {"incident": data["incident"], "automatic": data["automatic"]},
        f"/v1/incidents/{data['incident']}",
    )


def _switched(entry: Entry, times: Mapping[str, Any]) -> _Content:
    data, verb = entry.data, "promoted" if entry.type == entry_types.PROMOTED else "switched to"
    return _Content(
        "info",
        f"{verb} {data['to']} (was {data['from']}) by {entry.actor}",
        (
            ("From", str(data["from"])),
            ("To", data["to"]),
            ("Reason", data["reason"]),
            ("Time taken", _time_taken(entry, times)),
        ),
        _switch_data(entry, times),
        f"/v1/services/{entry.service}",
    )


def _no_better_target(entry: Entry, _: Mapping[str, Any]) -> _Content:
    data = entry.data
    return _Content(
        "critical",
        f"{data['active']} fails and no better version exists",
        (
            ("Active", str(data["active"])),
            *trigger_facts(data.get("trigger")),
            ("Obstacles", "; ".join(data["obstacles"])),
        ),
        {"active": data["active"], "obstacles": data["obstacles"], "trigger": _trigger(data.get("trigger"))},
        f"/v1/services/{entry.service}/explain",
    )


def _alert(entry: Entry, _: Mapping[str, Any]) -> _Content | None:
    data = entry.data
    if data["about"] is None:
        return None
    return _Content(
        "warning",
        f"{data['kind']} alert {data['name']} about {data['about']}",
        (
            ("Version", data["about"]),
            ("Alert", data["name"]),
            ("Summary", data["summary"] or "none"),
            ("From", entry.actor),
        ),
        {name: data[name] for name in ("kind", "name", "about", "summary", "fingerprint", "starts_at", "labels")},
        "/v1/alerts",
    )


def _proposed(entry: Entry, _: Mapping[str, Any]) -> _Content:
    data = entry.data
    rollback = data["kind"] == "rollback"
    back, forward = (
        f"roll back from {data['version']} to {data['to'] or 'nothing'}?",
        f"promote {data['version']}?",
    )
    evidence = data.get("evidence") or {}
    alert = evidence.get("alert")
    members = ("proposal", "kind", "version", "from", "to", "reason", "at_expiry", "expire_after_s")
    return _Content(
        "critical" if rollback else "warning",
        back if rollback else forward,
        (
            ("Active", str(data["from"])),
            ("Proposed", str(data["to"])),
            *trigger_facts(evidence.get("trigger")),
            ("Alert", f"{alert['name']}: {alert['summary']}" if alert else None),
            ("Reason", data["reason"]),
            ("Requested by", entry.actor),
            ("Decide within", f"{format_duration(data['expire_after_s'])}, else {data['at_expiry']}"),
            ("Proposal", data["proposal"]),
        ),
        {name: data[name] for name in members} | {"trigger": _trigger(evidence.get("trigger"))},
        f"/v1/proposals/{data['proposal']}",
    )


def _decided(entry: Entry, _: Mapping[str, Any]) -> _Content:
    data, what = entry.data, _ENDS[entry.type]
    by = "" if entry.type in (entry_types.PROPOSAL_EXPIRED, entry_types.WITHDRAWN) else f" by {entry.actor}"
    return _Content(
        "info",
        f"proposal {data['proposal']} {what}{by}",
        (
            ("Proposal", data["proposal"]),
            ("Reason", str(data["reason"]) if data.get("reason") else None),
            ("Default", str(data["default"]) if data.get("default") else None),
        ),
        {"proposal": data["proposal"], "outcome": what, "actor": entry.actor, "reason": data.get("reason")},
        f"/v1/proposals/{data['proposal']}",
    )


def _drilled(entry: Entry, _: Mapping[str, Any]) -> _Content:
    data = entry.data
    swaps = [swap["confirmed_ms"] for swap in data.get("swaps", ()) if swap["confirmed_ms"] is not None]
    members = ("drill", "mode", "by", "from", "to", "result", "reasons")
    return _Content(
        "info" if data["result"] in ("passed", "stopped") else "warning",
        f"drill {data['drill']} {data['result']}",
        (
            ("Drill", f"{data['mode']}, from {data['from']} to {data['to']}"),
            ("Result", data["result"]),
            ("Reasons", "; ".join(data["reasons"]) or None),
            ("Time taken", ", ".join(f"{found:.1f} ms" for found in swaps) + " to the last worker" if swaps else None),
        ),
        {name: data[name] for name in members} | {"swaps": data.get("swaps", [])},
        "/v1/drills",
    )


# -- shared parts
def trigger_facts(trigger: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Return the facts of a trigger: name, value and limit, number of samples."""
    if not trigger:
        return ()
    name = " ".join(filter(None, (str(trigger["kind"]), str(trigger.get("detail") or ""))))
    facts = [("Trigger", name)]
    if trigger.get("value") is not None and trigger.get("limit") is not None:
        texts = [_figure(trigger, trigger[member]) for member in ("value", "limit")]
        baseline = f", normal is {_figure(trigger, trigger['baseline'])}" if trigger.get("baseline") is not None else ""
        facts.append(("Observed", f"{texts[0]} against a limit of {texts[1]}{baseline}"))
    window = f" in {trigger['window_s']:g} s" if trigger.get("window_s") else ""
    facts.append(("Samples", f"{trigger.get('samples', 0)}{window}"))
    return tuple(facts)


def _figure(trigger: Mapping[str, Any], value: float) -> str:
    formatted = {"share": f"{value:.2%}", "seconds": f"{value:.1f} s", "count": f"{value:g}"}
    return formatted[unit(trigger)]


def _trigger(trigger: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {member: trigger.get(member) for member in TRIGGER_MEMBERS} if trigger else None


def _time_taken(entry: Entry, times: Mapping[str, Any]) -> str | None:
    parts = []
    since_ns = (entry.data.get("trigger") or {}).get("evidence_since_ns")
    if since_ns:
        parts.append(f"decided {max(0.0, (entry.monotonic_ns - since_ns) / 1e9):.1f} s after the first fault")
    if times:
        parts.append(f"swap {format_micros(times['swap_us'])}")
    if times and times["confirmed_ms"] is not None:
        parts.append(f"every worker followed within {format_millis(times['confirmed_ms'])}")
    elif times:
        parts.append(f"workers {times['workers_unconfirmed']} have not confirmed")
    return "; ".join(parts) or None


def _switch_data(entry: Entry, times: Mapping[str, Any]) -> dict[str, Any]:
    data = entry.data
    return {
        **{name: data[name] for name in ("from", "to", "reason", "generation")},
        "actor": entry.actor,
        "trigger": _trigger(data.get("trigger")),
        "swap_us": times.get("swap_us"),
        "confirmed_ms": times.get("confirmed_ms"),
    }


_ENDS: Final = {
    entry_types.APPROVED: "was approved",
    entry_types.DENIED: "was denied",
    entry_types.PROPOSAL_EXPIRED: "has expired",
    entry_types.WITHDRAWN: "was withdrawn",
}
_KINDS: Final[dict[str, tuple[Topic, Callable[[Entry, Mapping[str, Any]], _Content | None]]]] = {
    entry_types.ROLLED_BACK: ("rollback", _rolled_back),
    entry_types.PROMOTED: ("switch", _switched),
    entry_types.SWITCHED: ("switch", _switched),
    entry_types.NO_BETTER_TARGET: ("no_better_target", _no_better_target),
    entry_types.ALERT: ("alert", _alert),
    entry_types.PROPOSED: ("proposal", _proposed),
    entry_types.DRILL_ENDED: ("drill", _drilled),
    entry_types.DRILL_REFUSED: ("drill", _drilled),
    **dict.fromkeys(_ENDS, ("proposal", _decided)),
}
