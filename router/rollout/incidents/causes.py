"""Candidates for the cause of a rollback: what the facts point to, each with its evidence, none with more than it has.

A candidate is `{kind, claim, strength, evidence}`; `strength` is `strong` (hardly anything else explains it), `some` or
`weak`. What was not looked at, or cannot be known, is no candidate. A person decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from router.rollout.incidents.timeline_text import TimelineEntry
from router.rollout.model import entry as kinds
from router.rollout.text import format_duration

Candidate = dict[str, Any]
RECENT_S: Final = 3600.0
"""A change longer before the first fault than this is not named."""
_SHARE: Final = 0.9
"""Of the failing requests that a record lists: what so many of them have in common is named."""
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


@dataclass(frozen=True, slots=True)
class CauseInputs:
    """What is known. Times are wall seconds; `failures` are captured exchanges, oldest first, with the members
    `endpoint`, `path`, `status`, `outcome` as far as each is known. `endpoints` are the failing version's.
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
    """The failing version's period before the trouble."""
    failures: Sequence[dict[str, Any]] = ()
    endpoints: Sequence[str] = field(default_factory=tuple)

    @property
    def began_at(self) -> float:
        """When the trouble began, as far as known."""
        return self.decided_at if self.fault_at is None else self.fault_at


def candidates(scene: CauseInputs) -> list[Candidate]:
    """Return the candidates, the strongest first."""
    found = [told for look in _LOOKS if (told := look(scene)) is not None]
    found += _changes(scene)
    return sorted(found, key=lambda told: _STRENGTHS.index(told["strength"]))


def _candidate(kind: str, strength: str, claim: str, *evidence: str) -> Candidate:
    return {"kind": kind, "strength": strength, "claim": claim, "evidence": [text for text in evidence if text]}


def _standby(scene: CauseInputs) -> Candidate | None:
    """The same requests on the other version are the one experiment that traffic itself makes."""
    rescue = (scene.impact or {}).get("rescue")
    if rescue is None or rescue["answered"] + rescue["failed"] < _RESCUES_MIN:
        return None
    answered, failed = rescue["answered"], rescue["failed"]
    rescued = rescue.get("rescued", answered + failed)
    told = f"of {rescued} requests that were rescued on {scene.other} until the decision "
    told += f"{answered} succeeded, {failed} failed again"
    if failed == 0:
        return _candidate(
            "version", "strong", f"it is {scene.version}, not the requests and not what both depend on", told
        )
    if failed >= answered:
        claim = "something that both versions share (a dependency, the data, the requests themselves)"
        return _candidate("shared", "some", claim, told)
    return None


def _promotion(scene: CauseInputs) -> Candidate | None:
    if scene.promoted is None or scene.promoted.kind == kinds.SEEDED:
        return None
    after_s = scene.began_at - scene.promoted.at
    if not -1 <= after_s <= RECENT_S:  # what is seen in samples is up to a sample older than it is told
        return None
    before = scene.before
    clean = before is not None and before["requests"] >= 100 and not before["faults"] and after_s > 60
    began = "the first fault was seen" if scene.fault_at is not None else "it was rolled back"
    told = f"{began} {format_duration(max(0.0, after_s))} after {scene.version} was made active"
    good = f"until then it had answered {before['requests']:.0f} requests without a fault" if clean and before else ""
    claim = f"what is new in {scene.version}"
    return _candidate("version", "weak" if clean else "some", claim, told, good)


def _errors(scene: CauseInputs) -> Candidate | None:
    errors = (scene.impact or {}).get("errors") or {}
    total = sum(errors.values())
    if total < _ERRORS_MIN:
        return None
    kind, count = max(errors.items(), key=lambda item: int(item[1]))
    if count < _SHARE * total or kind not in _KINDS:
        return None
    statuses = Counter(failure["status"] for failure in scene.failures if failure.get("status"))
    seen = ", ".join(f"{status} ({number}×)" for status, number in statuses.most_common(3))
    told = f"{count} of {total} errors are {kind}"
    return _candidate("errors", "some", _KINDS[kind], told, f"statuses of the listed ones: {seen}" if seen else "")


def _late(scene: CauseInputs) -> Candidate | None:
    if not scene.trigger or scene.trigger.get("kind") != "latency":
        return None
    share, limit = scene.trigger.get("value"), scene.trigger.get("limit")
    if share is None or limit is None:
        return None
    claim = f"{scene.version} answers, but too slowly: it is slower by itself, or has too little capacity"
    return _candidate(
        "slow", "some", claim, f"{share:.1%} of the first bytes were later than allowed, limit {limit:.1%}"
    )


def _endpoint(scene: CauseInputs) -> Candidate | None:
    endpoints = [failure["endpoint"] for failure in scene.failures if failure.get("endpoint")]
    if len(endpoints) < _CAPTURED_MIN:
        return None
    (endpoint, count), first = Counter(endpoints).most_common(1)[0], endpoints[0]
    several = len(scene.endpoints) > 1
    if count < _SHARE * len(endpoints):
        return _candidate(
            "endpoint",
            "weak",
            f"{first} failed first",
            f"the oldest of the {len(endpoints)} listed failing requests is there",
        )
    if not several:
        return None
    told = f"{count} of {len(endpoints)} listed failing requests are there; {scene.version} has {len(scene.endpoints)} endpoints"
    return _candidate("endpoint", "some", f"one replica: {endpoint}", told)


def _path(scene: CauseInputs) -> Candidate | None:
    paths = [str(failure["path"]).partition("?")[0] for failure in scene.failures if failure.get("path")]
    if len(paths) < _CAPTURED_MIN:
        return None
    path, count = Counter(paths).most_common(1)[0]
    if count < _SHARE * len(paths):
        return None
    told = (
        f"{count} of {len(paths)} listed failing requests asked for it; whether others do not fail there is not known"
    )
    return _candidate("path", "weak", f"requests for {path}", told)


_LOOKS: Final[tuple[Callable[[CauseInputs], Candidate | None], ...]] = (
    _standby,
    _errors,
    _late,
    _promotion,
    _endpoint,
    _path,
)


def _changes(scene: CauseInputs) -> list[Candidate]:
    """Whatever else was changed, or warned of, shortly before."""
    found = []
    for told in scene.lines:
        before_s = scene.began_at - told.at
        if not 0 <= before_s <= RECENT_S:
            continue
        when = f"{format_duration(before_s)} before"
        if told.kind == kinds.MOVED and told.version in (scene.version, None):
            found.append(
                _candidate("endpoints", "some", f"the new endpoints of {scene.version}", f"{when}: {told.text}")
            )
        elif told.kind == kinds.SETTINGS_CHANGED:
            found.append(_candidate("settings", "weak", "changed settings of the router", f"{when}: {told.text}"))
        elif any(word in told.kind for word in _ALERTS):
            found.append(_candidate("data", "some", "the data: an alert spoke of it", f"{when}: {told.text}"))
    return found
