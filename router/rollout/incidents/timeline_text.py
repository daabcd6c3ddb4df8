"""A journal entry as one line of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from router.rollout.model import entry as entry_types
from router.rollout.model.entry import Entry
from router.rollout.text import shorten
from router.runtime.text.plurals import counted, plural

TEXT_CHARS_MAX: Final = 400
WINDOW_S: Final = 300.0
"""Default: failing requests within this time before the decision are listed."""
_Data = dict[str, Any]


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
    """Return the line of `entry`. An entry type without a text of its own has its name and reason."""
    try:
        text = _TEXTS[entry.type](entry.data)
    except (KeyError, TypeError, AttributeError):  # another release may have written other members
        text = entry.type.replace("_", " ") + _because(entry.data)
    version = entry.data.get("to") or entry.data.get("version") or (entry.data.get("target") or {}).get("version")
    return TimelineEntry(
        entry.at,
        entry.monotonic_ns,
        entry.boot,
        entry.type,
        entry.actor,
        shorten(text, TEXT_CHARS_MAX),
        version if isinstance(version, str) else None,
        entry.seq,
    )


def _because(data: _Data) -> str:
    return f": {data['reason']}" if data.get("reason") else ""


def _switched(data: _Data) -> str:
    return f"{data['to']} became active, {data['from'] or 'no version'} was active before{_because(data)}"


def _rolled_back(data: _Data) -> str:
    after = "tagged unreachable" if data.get("unreachable") else "quarantined"
    return f"decided: rollback from {data['from']} to {data['to']}; {data['from']} is {after}{_because(data)}"


def _confirmed(data: _Data) -> str:
    late = data.get("workers_unconfirmed") or []
    if late:
        return f"workers {', '.join(map(str, late))} have not confirmed the route yet"
    if data.get("confirmed_ms") is None:
        return "every worker is on the new route; when the last one followed is not known"
    return f"every worker is on the new route, the last one {data['confirmed_ms']:.3g} ms after the store"


def _drained(data: _Data) -> str:
    return f"{', '.join(data.get('freed', ())) or 'the version'} has ended its last request ({data['after_s']:g} s)"


def _edited(data: _Data) -> str:
    parts = [f"{name.replace('_', ' ')} set" for name in data.get("set", {}) if name != "status"]
    parts += [f"now {data['set']['status']}"] if "status" in data.get("set", {}) else []
    parts += [f"action {action['id']} added: {action['what']}" for action in data.get("add_actions", ())]
    parts += [f"action {action['id']} changed" for action in data.get("change_actions", ())]
    parts += [f"comment: {data['comment']}"] if data.get("comment") else []
    return "; ".join(parts) or "edited"


def _alert(data: _Data) -> str:
    about = f", against {data['about']}" if data["about"] else f": {data['detail']}"
    return f"{data['kind']} alert {data['name']} {data['status']}{_summary(data)}{about}"


def _summary(data: _Data) -> str:
    return f" ({data['summary']})" if data.get("summary") else ""


def _proposed(data: _Data) -> str:
    what = f"roll back from {data['version']} to {data['to']}?"
    if data["kind"] == "promotion":
        what = f"promote {data['to']}?"
    return f"proposal {data['proposal']}: {what}" + (f" ({data['reason']})" if data.get("reason") else "")


def _decided(how: str) -> Callable[[_Data], str]:
    return lambda data: f"proposal {data['proposal']} {how}{_because(data)}"


def cases_text(data: _Data) -> str:
    """Return how many cases were built from the failing requests of a version, and why others were not."""
    made, seen = len(data["cases"]), data["seen"]
    window_s = data.get("window_s", WINDOW_S)
    span = f" in the {window_s:g} s before the decision and the 4 s after it" if window_s != WINDOW_S else ""
    if not seen:
        return f"no regression case was made: no failing request of {data['version']} was captured{span}"
    reasons = [f"{count} {reason}" for reason, count in data.get("left_out", {}).items()]
    if same := max(0, seen - made - sum(data["left_out"].values())) if "left_out" in data else 0:
        reasons.append(f"{same} duplicate, or above the limit")
    text = f"{counted(made, 'regression case')} {plural('was', made)} made of {counted(seen, 'failing request')} "
    text += f"of {data['version']}{span}"
    if late := data.get("late", 0):
        text += f", {late} of which ended more than 4 s after it"
    return text + (f"; no case: {', '.join(reasons)}" if reasons else "")


def _checked_cases(data: _Data) -> str:
    return f"{data['version']} fails {data['failed']} of {data['cases']} regression cases"


def _criterion(data: _Data) -> str:
    return f"to be accepted, versions need {data['metric']} of at most {data['limit']:g}{_because(data)}"


def _drift(data: _Data) -> str:
    if data["state"] == "over":
        return f"requests to {data['version']} match the reference again"
    return f"requests to {data['version']} have drifted{_because(data)}"


_TEXTS: Final[dict[str, Callable[[_Data], str]]] = {
    entry_types.BOOT: lambda data: f"the router was started (boot {data['boot']})",
    entry_types.SEEDED: lambda data: f"{data['target']['version']} came in by the settings",
    entry_types.DEPLOYED: lambda data: f"{data['target']['version']} was deployed as candidate",
    entry_types.IDENTIFIED: lambda data: f"the server of {data['version']} is known by its probe's answer",
    entry_types.VERIFIED: lambda data: f"{', '.join(data['states'])} is ready",
    entry_types.FAILED: lambda data: f"{', '.join(data['states'])} was not ready in time{_because(data)}",
    entry_types.PROMOTED: _switched,
    entry_types.SWITCHED: _switched,
    entry_types.ROLLED_BACK: _rolled_back,
    entry_types.CONFIRMED: _confirmed,
    entry_types.STANDBY_RESTORED: lambda data: f"{', '.join(data['states'])} answers again and is the standby",
    entry_types.RETIRED: lambda data: f"{', '.join(data.get('states', ())) or data.get('version')} was retired",
    entry_types.DRAINED: _drained,
    entry_types.DRAIN_CUT: lambda data: (
        f"the remaining requests of {data['version']} were cut after {data['after_s']:g} s"
    ),
    entry_types.MOVED: lambda data: (
        f"the endpoints of {data['target']['version']} moved from {', '.join(data['from'])} "
        f"to {', '.join(data['target']['endpoints'])}"
    ),
    entry_types.QUARANTINED: lambda data: f"{', '.join(data['quarantine'])} was quarantined{_because(data)}",
    entry_types.RELEASED: lambda data: f"{', '.join(data['release'])} was released{_because(data)}",
    entry_types.FROZEN: lambda data: f"automation was frozen{_because(data)}",
    entry_types.UNFROZEN: lambda data: f"automation was enabled again{_because(data)}",
    entry_types.RECOVERED: lambda data: (
        "control was restarted and took over the route that shared memory held" + _because(data)
    ),
    entry_types.ACCEPTED: lambda data: f"{data['version']} was accepted",
    entry_types.NO_BETTER_TARGET: lambda data: f"blocked: {data['active']} fails and {'; '.join(data['obstacles'])}",
    entry_types.SERVICE_ADDED: lambda data: "the running router got the service by its settings",
    entry_types.SERVICE_REMOVED: lambda data: "the service was removed from the settings of the running router",
    entry_types.SETTINGS_CHANGED: lambda data: f"the settings were reloaded (version {data['version']})",
    entry_types.INCIDENT_EDITED: _edited,
    entry_types.REGISTERED: lambda data: f"{data['target']['version']} was registered",
    entry_types.QUARANTINE_RETURNED: lambda data: (
        f"the quarantine of {', '.join(data['quarantine'])} is back{_because(data)}"
    ),
    entry_types.ALERT: _alert,
    entry_types.PROPOSED: _proposed,
    entry_types.EVIDENCE_ADDED: lambda data: (
        f"proposal {data['proposal']} has more evidence: {data['evidence']['trigger']['reason']}"
    ),
    entry_types.APPROVED: _decided("was approved"),
    entry_types.DENIED: _decided("was denied"),
    entry_types.PROPOSAL_EXPIRED: _decided("has expired"),
    entry_types.WITHDRAWN: _decided("was withdrawn"),
    entry_types.DECISION_REFUSED: _decided("could not be decided"),
    entry_types.CASES_FROZEN: cases_text,
    entry_types.CASES_CHECKED: _checked_cases,
    entry_types.CRITERION_ADDED: _criterion,
    entry_types.CRITERION_SET: _criterion,
    entry_types.CRITERION_REMOVED: lambda data: f"the criterion {data['metric']} was removed{_because(data)}",
    entry_types.DRILL_STARTED: lambda data: f"drill {data['drill']} began",
    entry_types.DRILL_SWITCHED: lambda data: f"drill {data['drill']}: {data['to']} became active",
    entry_types.DRILL_ENDED: lambda data: f"drill {data['drill']} ended: {data['result']}",
    entry_types.DRILL_REFUSED: lambda data: f"drill {data['drill']} was refused: {'; '.join(data['reasons'])}",
    entry_types.INPUTS_LEARNED: lambda data: (
        f"the reference was learned from {counted(data['reference']['samples'], 'request')}"
    ),
    entry_types.INPUT_DRIFT: _drift,
    entry_types.MLFLOW_TOLD: lambda data: "MLflow was updated",
    entry_types.MLFLOW_GIVEN_UP: lambda data: f"MLflow could not be updated{_because(data)}",
}
