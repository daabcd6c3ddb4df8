"""Why a drill would not be safe now. A drill is a choice, so every doubt refuses it, and each says its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from router.rollout.drills.comparison import BAD_MIN, Performance
from router.rollout.judge.verdict import TriggerResult

RECENT_S: Final = 300.0
"""How far back the faults of the version that serves are counted against the budget."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason. `code` is for programs; `may_be_forced`: a person may go against it."""

    code: str
    detail: str
    may_be_forced: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """What is so at the moment of the question. Times are seconds."""

    active: str | None
    accepted: bool
    gate: tuple[str, ...] = ()
    """Why the gate of an automatic rollback would not let anybody pass to the standby."""
    frozen: str | None = None
    candidate: str | None = None
    """A version that is being verified."""
    draining: str | None = None
    """A version that was rolled back and is not empty yet."""
    rollback: str | None = None
    """The id of the last rollback."""
    rollback_age_s: float | None = None
    results: tuple[TriggerResult, ...] = ()
    recent: Performance = field(default_factory=Performance)
    unwell: str | None = None
    workers: int = 0
    """Workers that live."""
    workers_behind: tuple[int, ...] = ()
    proposal: str | None = None
    """The id of one that nobody has decided: somebody should look at this version before it is played with."""
    under_way: str | None = None
    """The id of the drill of this or another service that is not over."""


@dataclass(frozen=True, slots=True)
class SafetyRules:
    """What the settings of a service say about when a drill is safe."""

    fault_share_max: float = 0.01
    quiet_after_rollback_s: float = 3600.0


def refusals(now: Situation, caution: SafetyRules) -> list[Refusal]:
    """Return every reason against a drill, the gravest first; empty if it may begin."""
    found = [Refusal(code, detail) for code, detail in _grave(now) if detail]
    found += [Refusal("standby_not_ready", detail) for detail in now.gate]
    found += [Refusal(*failing) for failing in _failing(now.results)]
    if budget := _budget(now.recent, caution):
        found.append(Refusal("error_budget_low", budget))
    found += [Refusal(code, detail, True) for code, detail in _early(now, caution) if detail]
    return found


def _grave(now: Situation) -> list[tuple[str, str]]:
    behind = f"workers {list(now.workers_behind)} do not follow the present route" if now.workers_behind else ""
    return [
        ("drill_under_way", f"drill {now.under_way} is not over" if now.under_way else ""),
        ("no_active_version", "" if now.active else "there is no active version"),
        ("frozen", now.frozen or ""),
        ("proposal_open", f"proposal {now.proposal} waits for a decision" if now.proposal else ""),
        ("router_unwell", now.unwell or ""),
        ("workers_behind", behind or ("" if now.workers else "no worker lives")),
    ]


def _failing(results: tuple[TriggerResult, ...]) -> list[tuple[str, str]]:
    return [("trigger_failing", f"{found.name}: {found.reason}") for found in results if found.state == "fail"]


def _budget(recent: Performance, caution: SafetyRules) -> str:
    share = recent.fault_share
    if share is None or share <= caution.fault_share_max or recent.faults < BAD_MIN:
        return ""
    return (
        f"{share:.2%} of {recent.requests} requests failed in the last {RECENT_S:g} s, "
        f"and {caution.fault_share_max:.2%} is the limit (drill.fault_share_max)"
    )


def _early(now: Situation, caution: SafetyRules) -> list[tuple[str, str]]:
    """What a person may know better: it is soon, but not wrong."""
    age_s, recent = now.rollback_age_s, ""
    if age_s is not None and age_s < caution.quiet_after_rollback_s:
        recent = (
            f"{now.rollback} was {age_s:.0f} s ago, and {caution.quiet_after_rollback_s:g} s is the limit "
            "(drill.quiet_after_rollback_s)"
        )
    return [
        ("probation", "" if now.accepted or not now.active else f"{now.active} is on probation"),
        ("rolled_back_recently", recent),
        ("draining", f"{now.draining} was rolled back and still drains" if now.draining else ""),
        ("candidate_verifying", f"{now.candidate} is being verified" if now.candidate else ""),
    ]
