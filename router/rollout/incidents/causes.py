"""Decides the candidate causes of a rollback: samples, entries and failing requests in, candidates with their evidence out.

A candidate is `{kind, claim, strength, evidence}`; `strength` is `strong` (hardly anything else explains the failure), `some` or
`weak`. Causes without data are no candidates. The root cause is set by an operator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from router.rollout.facts.router_itself import SettingsChanged
from router.rollout.facts.versions import EndpointsMoved, Seeded
from router.rollout.incidents.timeline_text import TimelineEntry
from router.rollout.text import format_duration
from router.runtime.text.plurals import counted, plural

Candidate = dict[str, Any]
RECENT_S: Final = 3600.0
"""A change longer before the first fault than this is no candidate."""
_SHARE: Final = 0.9
"""A property that at least this share of the listed failing requests have is a candidate."""
_CAPTURED_MIN: Final = 3
_RESCUES_MIN: Final = 5
_ERRORS_MIN: Final = 5
_STRENGTHS: Final = ("strong", "some", "weak")
_ALERTS: Final = ("alert", "quality")
_KINDS: Final = {
    "connect_failed": "connections were refused or could not be made: the servers were down, moved, or not reachable",
    "timed_out": "requests were taken and not answered in time: the servers hung or were overloaded",
    "truncated": "answers began and broke off: the servers crashed or were cut while answering",
    "server_error": "the servers answered with a status of 500 or above: they ran, and failed at the request",
    "invalid": "answers came with a good status and contents that the validators refuse: the model's output is wrong",
}
_REFUSED: Final = (
    "the servers answered, and their answers were refused as malformed HTTP: a framework or a proxy at the backend"
)


@dataclass(frozen=True, slots=True)
class CauseInputs:
    """The inputs. Times are wall seconds. `failures` are captured exchanges, oldest first, with the members `endpoint`, `path`,
    `status`, `outcome` if known. `endpoints` are those of the failing version.
    """

    version: str | None
    other: str | None
    fault_at: float | None
    decided_at: float
    promoted: TimelineEntry | None
    lines: Sequence[TimelineEntry] = ()
    impact: dict[str, Any] | None = None
    trigger: dict[str, Any] | None = None
    before: dict[str, Any] | None = None
    """The period of the failing version before the first fault."""
    failures: Sequence[dict[str, Any]] = ()
    endpoints: Sequence[str] = field(default_factory=tuple)

    @property
    def began_at(self) -> float:
        """Time of the first fault; of the decision if it is unknown."""
        return self.decided_at if self.fault_at is None else self.fault_at


def candidates(inputs: CauseInputs) -> list[Candidate]:
    """Return the candidates, the strongest first."""
    found = [candidate for finder in _FINDERS if (candidate := finder(inputs)) is not None]
    found += _changes(inputs)
    return sorted(found, key=lambda candidate: _STRENGTHS.index(candidate["strength"]))


def _candidate(kind: str, strength: str, claim: str, *evidence: str) -> Candidate:
    return {"kind": kind, "strength": strength, "claim": claim, "evidence": [text for text in evidence if text]}


def _standby(inputs: CauseInputs) -> Candidate | None:
    """Compare the rescued requests: the same requests ran on both versions."""
    rescue = (inputs.impact or {}).get("rescue")
    if rescue is None or rescue["answered"] + rescue["failed"] < _RESCUES_MIN:
        return None
    answered, failed = rescue["answered"], rescue["failed"]
    rescued = rescue.get("rescued", answered + failed)
    text = (
        f"of {counted(rescued, 'request')} that {plural('was', rescued)} rescued on {inputs.other} until the decision "
    )
    text += f"{answered} succeeded, {failed} failed again"
    if failed == 0:
        return _candidate(
            "version", "strong", f"it is {inputs.version}, not the requests and not a shared dependency", text
        )
    if failed >= answered:
        claim = "something that both versions share (a dependency, the data, the requests themselves)"
        return _candidate("shared", "some", claim, text)
    return None


def _promotion(inputs: CauseInputs) -> Candidate | None:
    if inputs.promoted is None or inputs.promoted.kind == Seeded.TYPE:
        return None
    after_s = inputs.began_at - inputs.promoted.at
    if not -1 <= after_s <= RECENT_S:  # the time from samples may be one sample early
        return None
    before = inputs.before
    clean = before is not None and before["requests"] >= 100 and not before["faults"] and after_s > 60
    began = "the first fault occurred" if inputs.fault_at is not None else "it was rolled back"
    text = f"{began} {format_duration(max(0.0, after_s))} after {inputs.version} was made active"
    good = (
        f"until then it had answered {counted(before['requests'], 'request', '.0f')} without a fault"
        if clean and before
        else ""
    )
    claim = f"a change in {inputs.version}"
    return _candidate("version", "weak" if clean else "some", claim, text, good)


def _errors(inputs: CauseInputs) -> Candidate | None:
    errors = (inputs.impact or {}).get("errors") or {}
    total = sum(errors.values())
    if total < _ERRORS_MIN:
        return None
    kind, count = max(errors.items(), key=lambda item: int(item[1]))
    if count < _SHARE * total or kind not in _KINDS:
        return None
    refused = Counter(failure["refused"] for failure in inputs.failures if failure.get("refused"))
    if kind == "truncated" and refused.total() >= _SHARE * len(inputs.failures):
        named = ", ".join(f"{cause} ({number}×)" for cause, number in refused.most_common(3))
        return _candidate("errors", "strong", _REFUSED, f"{count} of {total} errors are {kind}", f"refused as {named}")
    statuses = Counter(failure["status"] for failure in inputs.failures if failure.get("status"))
    seen = ", ".join(f"{status} ({number}×)" for status, number in statuses.most_common(3))
    text = f"{count} of {counted(total, 'error')} {plural('is', count)} {kind}"
    return _candidate("errors", "some", _KINDS[kind], text, f"statuses of the listed ones: {seen}" if seen else "")


def _late(inputs: CauseInputs) -> Candidate | None:
    if not inputs.trigger or inputs.trigger.get("kind") != "latency":
        return None
    share, limit = inputs.trigger.get("value"), inputs.trigger.get("limit")
    if share is None or limit is None:
        return None
    claim = f"{inputs.version} answers, but too slowly: it is slower by itself, or has too little capacity"
    return _candidate(
        "slow", "some", claim, f"{share:.1%} of the first bytes were later than allowed, limit {limit:.1%}"
    )


def _endpoint(inputs: CauseInputs) -> Candidate | None:
    endpoints = [failure["endpoint"] for failure in inputs.failures if failure.get("endpoint")]
    if len(endpoints) < _CAPTURED_MIN:
        return None
    (endpoint, count), first = Counter(endpoints).most_common(1)[0], endpoints[0]
    several = len(inputs.endpoints) > 1
    if count < _SHARE * len(endpoints):
        return _candidate(
            "endpoint",
            "weak",
            f"{first} failed first",
            f"the oldest of the {len(endpoints)} listed failing requests is there",
        )
    if not several:
        return None
    text = f"{count} of {len(endpoints)} listed failing requests are there; "
    text += f"{inputs.version} has {counted(len(inputs.endpoints), 'endpoint')}"
    return _candidate("endpoint", "some", f"one replica: {endpoint}", text)


def _path(inputs: CauseInputs) -> Candidate | None:
    paths = [str(failure["path"]).partition("?")[0] for failure in inputs.failures if failure.get("path")]
    if len(paths) < _CAPTURED_MIN:
        return None
    path, count = Counter(paths).most_common(1)[0]
    if count < _SHARE * len(paths):
        return None
    text = f"{count} of {len(paths)} listed failing requests have this path; whether other requests with it succeed is unknown"
    return _candidate("path", "weak", f"requests for {path}", text)


_FINDERS: Final[tuple[Callable[[CauseInputs], Candidate | None], ...]] = (
    _standby,
    _errors,
    _late,
    _promotion,
    _endpoint,
    _path,
)


def _changes(inputs: CauseInputs) -> list[Candidate]:
    """Return candidates for changes and alerts within RECENT_S before the first fault."""
    found = []
    for line in inputs.lines:
        before_s = inputs.began_at - line.at
        if not 0 <= before_s <= RECENT_S:
            continue
        when = f"{format_duration(before_s)} before"
        if line.kind == EndpointsMoved.TYPE and line.version in (inputs.version, None):
            found.append(
                _candidate("endpoints", "some", f"the new endpoints of {inputs.version}", f"{when}: {line.text}")
            )
        elif line.kind == SettingsChanged.TYPE:
            found.append(_candidate("settings", "weak", "changed settings of the router", f"{when}: {line.text}"))
        elif any(word in line.kind for word in _ALERTS):
            found.append(_candidate("data", "some", "the data: an alert names it", f"{when}: {line.text}"))
    return found
