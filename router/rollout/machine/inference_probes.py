"""The inference probes of a version as evidence for the judge: streaks in, `ProbeEvidence` out.

Only inference probes count: another probe, and an answer that wants credentials, say nothing about the model.
"""

from __future__ import annotations

from typing import Final

from router.rollout.judge.probe_evidence import FAILURES_MIN, ProbeEvidence
from router.rollout.machine.probe_streaks import ProbeStreaks, Streak
from router.rollout.model.target import Target
from router.rollout.units import SECOND_NS

WARMED_WITHIN_NS: Final = 60 * SECOND_NS
"""Inference probes within this time before a promotion have compiled kernels and filled caches."""


def probe_evidence(
    streaks: ProbeStreaks, active: Target, standby: Target | None, *, warmed: bool
) -> ProbeEvidence | None:
    """Return the evidence of the inference probes; None before the first of the active version. `warmed` as in `warmed_by`."""
    known = _inferences(streaks, active)
    if not known:
        return None
    bad = [streak for streak in known if streak.bad]
    runs = sorted((streak for streak in bad if streak.bad >= FAILURES_MIN), key=lambda streak: streak.bad_since_ns)
    most = len(active.endpoints) // 2  # the run with this number is the one with which more than half fail
    return ProbeEvidence(
        endpoints=len(active.endpoints),
        good=sum(streak.good > 0 and not streak.unknown for streak in known),
        bad=len(bad),
        failing=len(runs),
        since_ns=runs[most].bad_since_ns if len(runs) > most else 0,
        timeouts_only=bool(runs) and all(streak.late for streak in runs),
        last_good_ns=max((streak.passes[-1] for streak in known if streak.passes), default=0),
        warmed=warmed,
        standby_passes=standby_passes(streaks, standby),
        detail="; ".join(dict.fromkeys(streak.detail for streak in bad)),
    )


def standby_passes(streaks: ProbeStreaks, standby: Target | None) -> bool | None:
    """Return whether the inference probe of the standby passes on more than half of its endpoints; None without an opinion."""
    known = _inferences(streaks, standby) if standby is not None else []
    if standby is None or not known or all(streak.unknown for streak in known):
        return None
    return 2 * sum(streak.good > 0 and not streak.unknown for streak in known) > len(standby.endpoints)


def warmed_by(streaks: ProbeStreaks, target: Target, promoted_at_ns: int, needed: int) -> bool:
    """Return whether `needed` inference probes passed in the minute before the promotion. Ask soon after it: only the newest
    passes are kept.
    """
    passes = streaks.passes(target)
    return sum(promoted_at_ns - WARMED_WITHIN_NS <= at_ns <= promoted_at_ns for at_ns in passes) >= needed


def _inferences(streaks: ProbeStreaks, target: Target) -> list[Streak]:
    found = (streaks.of_endpoint(target.version, url) for url in target.endpoints)
    return [streak for streak in found if streak is not None and streak.inference]
