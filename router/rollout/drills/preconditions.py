"""Decides whether a drill is safe now. A drill is optional, so every doubt refuses it; each refusal has a code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from router.rollout.drills.comparison import BAD_MIN, Performance
from router.rollout.judge.verdict import TriggerResult
from router.runtime.text.plurals import counted

RECENT_S: Final = 300.0
"""Period in which faults of the active version count against the error budget."""


@dataclass(frozen=True, slots=True)
class Objection:
    """One reason. `code` is for programs; `may_be_forced`: an operator may override it."""

    code: str
    detail: str
    may_be_forced: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """The inputs: the state of the service now. Times are seconds."""

    active: str | None
    accepted: bool
    gate: tuple[str, ...] = ()
    """The objections of the rollback gate to the standby."""
    frozen: str | None = None
    candidate: str | None = None
    """A version that is being verified."""
    draining: str | None = None
    """A version that was rolled back and still drains."""
    rollback: str | None = None
    """The id of the last rollback."""
    rollback_age_s: float | None = None
    results: tuple[TriggerResult, ...] = ()
    recent: Performance = field(default_factory=Performance)
    unwell: str | None = None
    workers: int = 0
    """Number of running workers."""
    workers_behind: tuple[int, ...] = ()
    proposal: str | None = None
    """The id of a pending proposal: it must be decided before a drill."""
    under_way: str | None = None
    """The id of a running drill of any service."""


@dataclass(frozen=True, slots=True)
class SafetyRules:
    """The settings of a service for the safety of drills."""

    fault_share_max: float = 0.01
    quiet_after_rollback_s: float = 3600.0


def objections(now: Situation, rules: SafetyRules) -> list[Objection]:
    """Return all objections, the gravest first; empty if the drill may start."""
    found = [Objection(code, detail) for code, detail in _blocking(now) if detail]
    found += [Objection("standby_not_ready", detail) for detail in now.gate]
    found += [Objection(*failing) for failing in _failing(now.results)]
    if budget := _budget(now.recent, rules):
        found.append(Objection("error_budget_low", budget))
    found += [Objection(code, detail, True) for code, detail in _overridable(now, rules) if detail]
    return found


def _blocking(now: Situation) -> list[tuple[str, str]]:
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


def _budget(recent: Performance, rules: SafetyRules) -> str:
    share = recent.fault_share
    if share is None or share <= rules.fault_share_max or recent.faults < BAD_MIN:
        return ""
    return (
        f"{share:.2%} of {counted(recent.requests, 'request')} failed in the last {RECENT_S:g} s, "
        f"and {rules.fault_share_max:.2%} is the limit (drill.fault_share_max)"
    )


def _overridable(now: Situation, rules: SafetyRules) -> list[tuple[str, str]]:
    """Return the objections that an operator may override: the drill is early, but not dangerous."""
    age_s, recent = now.rollback_age_s, ""
    if age_s is not None and age_s < rules.quiet_after_rollback_s:
        recent = (
            f"{now.rollback} was {age_s:.0f} s ago, and {rules.quiet_after_rollback_s:g} s is the limit "
            "(drill.quiet_after_rollback_s)"
        )
    return [
        ("probation", "" if now.accepted or not now.active else f"{now.active} is on probation"),
        ("rolled_back_recently", recent),
        ("draining", f"{now.draining} was rolled back and still drains" if now.draining else ""),
        ("candidate_verifying", f"{now.candidate} is being verified" if now.candidate else ""),
    ]
