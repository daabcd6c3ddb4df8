"""A journal entry as one line of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from router.rollout.facts import automation, cases, drills, inputs, mlflow, proposals, router_itself, switches, versions
from router.rollout.facts.alerts import AlertReceived
from router.rollout.facts.entry import Entry
from router.rollout.facts.fact import Fact
from router.rollout.facts.incidents import IncidentEdited
from router.rollout.facts.known import OtherFact
from router.rollout.text import shorten
from router.runtime.text.plurals import counted, plural

TEXT_CHARS_MAX: Final = 400
WINDOW_S: Final = 300.0
"""Default: failing requests within this time before the decision are listed."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """`at` is wall time in seconds, `monotonic_ns` the same moment within `boot`. `seq` is 0 until the journal has it."""

    at: float
    monotonic_ns: int
    boot: int
    kind: str
    actor: str
    text: str
    version: str | None = None
    """The version that became active, moved or was deployed."""
    seq: int = 0


def describe(entry: Entry) -> TimelineEntry:
    """Return the line of `entry`. A fact without a text of its own has its type and reason."""
    fact = entry.fact
    try:
        text = _TEXTS[type(fact)](fact)
    except (KeyError, TypeError):  # a type of another release, or a document of one
        text = entry.type.replace("_", " ") + _because(fact)
    return TimelineEntry(
        entry.at,
        entry.monotonic_ns,
        entry.boot,
        entry.type,
        entry.actor,
        shorten(text, TEXT_CHARS_MAX),
        _version(fact),
        entry.seq,
    )


def _version(fact: Fact) -> str | None:
    """Return the version that `fact` is about."""
    if isinstance(fact, OtherFact):
        named = fact.data.get("to") or fact.data.get("version")
    else:
        named = getattr(fact, "to", None) or getattr(fact, "version", None)
    if not named and isinstance(fact, versions.VersionFact) and fact.target is not None:
        named = fact.target.version
    return named if isinstance(named, str) else None


def _because(fact: Fact) -> str:
    reason = fact.data.get("reason") if isinstance(fact, OtherFact) else getattr(fact, "reason", None)
    return f": {reason}" if reason else ""


def _switched(fact: switches.SwitchFact) -> str:
    return f"{fact.to} became active, {fact.left or 'no version'} was active before{_because(fact)}"


def _rolled_back(fact: switches.RolledBack) -> str:
    after = "tagged unreachable" if fact.unreachable else "quarantined"
    return f"decided: rollback from {fact.left} to {fact.to}; {fact.left} is {after}{_because(fact)}"


def _confirmed(fact: switches.Confirmed) -> str:
    if fact.workers_unconfirmed:
        return f"workers {', '.join(map(str, fact.workers_unconfirmed))} have not confirmed the route yet"
    if fact.confirmed_ms is None:
        return "every worker is on the new route; when the last one followed is not known"
    return f"every worker is on the new route, the last one {fact.confirmed_ms:.3g} ms after the store"


def _drained(fact: router_itself.Drained) -> str:
    return f"{', '.join(fact.versions) or 'the version'} has ended its last request ({fact.after_s:g} s)"


def _edited(fact: IncidentEdited) -> str:
    changes = fact.changes or {}
    parts = [f"{name.replace('_', ' ')} set" for name in changes if name != "status"]
    parts += [f"now {changes['status']}"] if "status" in changes else []
    parts += [f"action {action['id']} added: {action['what']}" for action in fact.add_actions]
    parts += [f"action {action['id']} changed" for action in fact.change_actions]
    parts += [f"comment: {fact.comment}"] if fact.comment else []
    return "; ".join(parts) or "edited"


def _alert(fact: AlertReceived) -> str:
    about = f", against {fact.about}" if fact.about else f": {fact.detail}"
    summary = f" ({fact.summary})" if fact.summary else ""
    return f"{fact.kind} alert {fact.name} {fact.status}{summary}{about}"


def _proposed(fact: proposals.Proposed) -> str:
    what = f"roll back from {fact.version} to {fact.to}?"
    if fact.kind == "promotion":
        what = f"promote {fact.to}?"
    return f"proposal {fact.proposal}: {what}" + (f" ({fact.reason})" if fact.reason else "")


def _decided(how: str) -> Callable[[Any], str]:
    return lambda fact: f"proposal {fact.proposal} {how}{_because(fact)}"


def cases_text(fact: cases.CasesFrozen) -> str:
    """Return how many cases were built from the failing requests of a version, and why others were not."""
    made, seen = len(fact.cases), fact.seen
    window_s = WINDOW_S if fact.window_s is None else fact.window_s
    span = f" in the {window_s:g} s before the decision and the 4 s after it" if window_s != WINDOW_S else ""
    if not seen:
        return f"no regression case was made: no failing request of {fact.version} was captured{span}"
    left_out = fact.left_out or {}
    reasons = [f"{count} {reason}" for reason, count in left_out.items()]
    if same := max(0, seen - made - sum(left_out.values())) if fact.left_out is not None else 0:
        reasons.append(f"{same} duplicate, or above the limit")
    text = f"{counted(made, 'regression case')} {plural('was', made)} made of {counted(seen, 'failing request')} "
    text += f"of {fact.version}{span}"
    if fact.late:
        text += f", {fact.late} of which ended more than 4 s after it"
    return text + (f"; no case: {', '.join(reasons)}" if reasons else "")


def _checked_cases(fact: cases.CasesChecked) -> str:
    return f"{fact.version} fails {fact.failed} of {fact.cases} regression cases"


def _criterion(fact: automation.CriterionFact) -> str:
    return f"to be accepted, versions need {fact.metric} of at most {fact.limit:g}{_because(fact)}"


def _drift(fact: inputs.InputDrift) -> str:
    if fact.state == "over":
        return f"requests to {fact.version} match the reference again"
    return f"requests to {fact.version} have drifted{_because(fact)}"


def _placed(fact: versions.VersionFact) -> str:
    return fact.target.version if fact.target is not None else "a version"


def _changed(fact: versions.VersionFact) -> str:
    return ", ".join(fact.new_states)


_TEXTS: Final[dict[type[Fact], Callable[[Any], str]]] = {
    router_itself.Booted: lambda fact: f"the router was started (boot {fact.boot})",
    versions.Seeded: lambda fact: f"{_placed(fact)} came in by the settings",
    versions.Deployed: lambda fact: f"{_placed(fact)} was deployed as candidate",
    versions.Identified: lambda fact: f"the server of {fact.version} is known by its probe's answer",
    versions.Verified: lambda fact: f"{_changed(fact)} is ready",
    versions.Failed: lambda fact: f"{_changed(fact)} was not ready in time{_because(fact)}",
    switches.Promoted: _switched,
    switches.Switched: _switched,
    switches.RolledBack: _rolled_back,
    switches.Confirmed: _confirmed,
    switches.StandbyRestored: lambda fact: f"{_changed(fact)} answers again and is the standby",
    versions.Retired: lambda fact: f"{_changed(fact) or fact.version} was retired",
    router_itself.Drained: _drained,
    router_itself.DrainCut: lambda fact: f"the remaining requests of {fact.version} were cut after {fact.after_s:g} s",
    versions.EndpointsMoved: lambda fact: (
        f"the endpoints of {_placed(fact)} moved from {', '.join(fact.former)} to {', '.join(fact.target.endpoints)}"
    ),
    versions.Quarantined: lambda fact: f"{', '.join(fact.quarantine)} was quarantined{_because(fact)}",
    versions.Released: lambda fact: f"{', '.join(fact.released)} was released{_because(fact)}",
    automation.Frozen: lambda fact: f"automation was frozen{_because(fact)}",
    automation.Unfrozen: lambda fact: f"automation was enabled again{_because(fact)}",
    switches.Recovered: lambda fact: (
        "control was restarted and took over the route that shared memory held" + _because(fact)
    ),
    versions.VersionAccepted: lambda fact: f"{fact.version} was accepted",
    switches.NoBetterTarget: lambda fact: f"blocked: {fact.active} fails and {'; '.join(fact.obstacles)}",
    router_itself.ServiceAdded: lambda fact: "the running router got the service by its settings",
    router_itself.ServiceRemoved: lambda fact: "the service was removed from the settings of the running router",
    router_itself.SettingsChanged: lambda fact: f"the settings were reloaded (version {fact.version})",
    IncidentEdited: _edited,
    versions.Registered: lambda fact: f"{_placed(fact)} was registered",
    versions.QuarantineReturned: lambda fact: f"the quarantine of {', '.join(fact.quarantine)} is back{_because(fact)}",
    AlertReceived: _alert,
    proposals.Proposed: _proposed,
    proposals.EvidenceAdded: lambda fact: (
        f"proposal {fact.proposal} has more evidence: {fact.evidence['trigger']['reason']}"
    ),
    proposals.Approved: _decided("was approved"),
    proposals.Denied: _decided("was denied"),
    proposals.ProposalExpired: _decided("has expired"),
    proposals.Withdrawn: _decided("was withdrawn"),
    proposals.DecisionRefused: _decided("could not be decided"),
    cases.CasesFrozen: cases_text,
    cases.CasesChecked: _checked_cases,
    automation.CriterionLearned: _criterion,
    automation.CriterionChosen: _criterion,
    automation.CriterionDropped: lambda fact: f"the criterion {fact.metric} was removed{_because(fact)}",
    drills.DrillStarted: lambda fact: f"drill {fact.drill} began",
    drills.DrillSwitched: lambda fact: f"drill {fact.drill}: {fact.to} became active",
    drills.DrillEnded: lambda fact: f"drill {fact.drill} ended: {fact.result}",
    drills.DrillRefused: lambda fact: f"drill {fact.drill} was refused: {'; '.join(fact.reasons)}",
    inputs.InputsLearned: lambda fact: (
        f"the reference was learned from {counted(fact.reference['samples'], 'request')}"
    ),
    inputs.InputDrift: _drift,
    mlflow.MlflowUpdated: lambda fact: "MLflow was updated",
    mlflow.MlflowGivenUp: lambda fact: f"MLflow could not be updated{_because(fact)}",
}
