"""The notification of a journal entry: title, facts, data, and a path of the admin API.

The id depends only on the journal entry. After a restart the same entry gives the same id, so receivers can detect duplicates
(delivery is at least once).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

from router.rollout.facts.alerts import AlertReceived
from router.rollout.facts.drills import DrillEnded, DrillRefused
from router.rollout.facts.entry import Entry
from router.rollout.facts.evidence_time import seconds_before
from router.rollout.facts.fact import Fact
from router.rollout.facts.proposals import Approved, Denied, ProposalExpired, Proposed, Withdrawn
from router.rollout.facts.switches import (
    Confirmed,
    NoBetterTarget,
    Promoted,
    Recovered,
    RolledBack,
    Switched,
    SwitchFact,
)
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


def notification_of(entry: Entry, times: Confirmed | None = None) -> Notification | None:
    """Return the notification of `entry`, or None. `times`: the confirmation of a switch."""
    fact = entry.fact
    match fact:
        case RolledBack():
            return _composed(entry, "rollback", _rolled_back(fact, entry, times))
        case Promoted() | Switched():
            return _composed(entry, "switch", _switched(fact, entry, times))
        case NoBetterTarget():
            return _composed(entry, "no_better_target", _no_better_target(fact, entry))
        case AlertReceived(about=str()):
            return _composed(entry, "alert", _alert(fact, entry))
        case Proposed():
            return _composed(entry, "proposal", _proposed(fact, entry))
        case Approved() | Denied() | ProposalExpired() | Withdrawn():
            return _composed(entry, "proposal", _decided(fact, entry))
        case DrillEnded() | DrillRefused():
            return _composed(entry, "drill", _drilled(fact))
        case _:
            return None


def notification_id(entry: Entry) -> str:
    """Return a unique id of `entry`: of a switch with its generation, else with boot and monotonic time."""
    service = entry.service or "router"
    if isinstance(entry.fact, SwitchFact):
        return f"{service}-{entry.type}-{entry.fact.generation}"
    return f"{service}-{entry.type}-{entry.boot}-{entry.monotonic_ns}"


def record_completed(opening: Entry, at: float) -> Notification:
    """Return the notification that the record of a rollback is complete; `opening` is the entry of the rollback."""
    fact = opening.fact
    assert isinstance(fact, RolledBack | Recovered)
    rollback, incident = _composed(opening, "rollback", _rolled_back(fact, opening, None)), fact.incident
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
def _rolled_back(fact: RolledBack | Recovered, entry: Entry, times: Confirmed | None) -> _Content:
    by = "automatically" if fact.automatic else f"by {entry.actor}"
    unreachable = isinstance(fact, RolledBack) and fact.unreachable
    return _Content(
        "critical",
        f"rolled back {by} from {fact.left} to {fact.to}",
        (
            ("From", f"{fact.left} ({'unreachable' if unreachable else 'quarantined'})"),
            ("To", fact.to),
            *trigger_facts(_trigger_of(fact)),
            ("Reason", fact.reason),
            ("Time taken", _time_taken(fact, times)),
            ("Incident", fact.incident),
        ),
        _switch_data(fact, entry, times) | {"incident": fact.incident, "automatic": fact.automatic},
        f"/v1/incidents/{fact.incident}",
    )


def _switched(fact: SwitchFact, entry: Entry, times: Confirmed | None) -> _Content:
    verb = "promoted" if isinstance(fact, Promoted) else "switched to"
    return _Content(
        "info",
        f"{verb} {fact.to} (was {fact.left}) by {entry.actor}",
        (
            ("From", str(fact.left)),
            ("To", fact.to),
            ("Reason", fact.reason),
            ("Time taken", _time_taken(fact, times)),
        ),
        _switch_data(fact, entry, times),
        f"/v1/services/{entry.service}",
    )


def _no_better_target(fact: NoBetterTarget, entry: Entry) -> _Content:
    return _Content(
        "critical",
        f"{fact.active} fails and no better version exists",
        (
            ("Active", str(fact.active)),
            *trigger_facts(fact.trigger),
            ("Obstacles", "; ".join(fact.obstacles)),
        ),
        {"active": fact.active, "obstacles": list(fact.obstacles), "trigger": _trigger(fact.trigger)},
        f"/v1/services/{entry.service}/explain",
    )


def _alert(fact: AlertReceived, entry: Entry) -> _Content:
    members = ("kind", "name", "about", "summary", "fingerprint", "starts_at", "labels")
    return _Content(
        "warning",
        f"{fact.kind} alert {fact.name} about {fact.about}",
        (
            ("Version", fact.about),
            ("Alert", fact.name),
            ("Summary", fact.summary or "none"),
            ("From", entry.actor),
        ),
        {name: getattr(fact, name) for name in members},
        "/v1/alerts",
    )


def _proposed(fact: Proposed, entry: Entry) -> _Content:
    rollback = fact.kind == "rollback"
    back, forward = f"roll back from {fact.version} to {fact.to or 'nothing'}?", f"promote {fact.version}?"
    evidence = fact.evidence or {}
    alert = evidence.get("alert")
    return _Content(
        "critical" if rollback else "warning",
        back if rollback else forward,
        (
            ("Active", str(fact.left)),
            ("Proposed", str(fact.to)),
            *trigger_facts(evidence.get("trigger")),
            ("Alert", f"{alert['name']}: {alert['summary']}" if alert else None),
            ("Reason", fact.reason),
            ("Requested by", entry.actor),
            ("Decide within", f"{format_duration(fact.expire_after_s)}, else {fact.at_expiry}"),
            ("Proposal", fact.proposal),
        ),
        {
            "proposal": fact.proposal,
            "kind": fact.kind,
            "version": fact.version,
            "from": fact.left,
            "to": fact.to,
            "reason": fact.reason,
            "at_expiry": fact.at_expiry,
            "expire_after_s": fact.expire_after_s,
            "trigger": _trigger(evidence.get("trigger")),
        },
        f"/v1/proposals/{fact.proposal}",
    )


def _decided(fact: Approved | Denied | ProposalExpired | Withdrawn, entry: Entry) -> _Content:
    what = _ENDS[type(fact)]
    by = "" if isinstance(fact, ProposalExpired | Withdrawn) else f" by {entry.actor}"
    reason = None if isinstance(fact, ProposalExpired) else fact.reason
    return _Content(
        "info",
        f"proposal {fact.proposal} {what}{by}",
        (
            ("Proposal", fact.proposal),
            ("Reason", reason or None),
            ("Default", fact.default if isinstance(fact, ProposalExpired) else None),
        ),
        {"proposal": fact.proposal, "outcome": what, "actor": entry.actor, "reason": reason},
        f"/v1/proposals/{fact.proposal}",
    )


def _drilled(fact: DrillEnded | DrillRefused) -> _Content:
    swaps = fact.measurements.get("swaps", []) if isinstance(fact, DrillEnded) else []
    times = [swap["confirmed_ms"] for swap in swaps if swap["confirmed_ms"] is not None]
    return _Content(
        "info" if fact.result in ("passed", "stopped") else "warning",
        f"drill {fact.drill} {fact.result}",
        (
            ("Drill", f"{fact.mode}, from {fact.left} to {fact.to}"),
            ("Result", fact.result),
            ("Reasons", "; ".join(fact.reasons) or None),
            ("Time taken", ", ".join(f"{found:.1f} ms" for found in times) + " to the last worker" if times else None),
        ),
        {
            "drill": fact.drill,
            "mode": fact.mode,
            "by": fact.by,
            "from": fact.left,
            "to": fact.to,
            "result": fact.result,
            "reasons": list(fact.reasons),
            "swaps": swaps,
        },
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


def _trigger_of(fact: Fact) -> dict[str, Any] | None:
    return fact.trigger if isinstance(fact, RolledBack) else None


def _time_taken(fact: SwitchFact | Recovered, times: Confirmed | None) -> str | None:
    parts = []
    if (before_s := seconds_before(_trigger_of(fact))) is not None:
        parts.append(f"decided {before_s:.1f} s after the first fault")
    if times is not None:
        parts.append(f"swap {format_micros(times.swap_us or 0)}")
        if times.confirmed_ms is not None:
            parts.append(f"every worker followed within {format_millis(times.confirmed_ms)}")
        else:
            parts.append(f"workers {list(times.workers_unconfirmed)} have not confirmed")
    return "; ".join(parts) or None


def _switch_data(fact: SwitchFact | Recovered, entry: Entry, times: Confirmed | None) -> dict[str, Any]:
    return {
        "from": fact.left,
        "to": fact.to,
        "reason": fact.reason,
        "generation": fact.generation,
        "actor": entry.actor,
        "trigger": _trigger(_trigger_of(fact)),
        "swap_us": times.swap_us if times is not None else None,
        "confirmed_ms": times.confirmed_ms if times is not None else None,
    }


_ENDS: Final[dict[type[Fact], str]] = {
    Approved: "was approved",
    Denied: "was denied",
    ProposalExpired: "has expired",
    Withdrawn: "was withdrawn",
}
