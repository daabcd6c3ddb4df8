"""Acceptance criteria that rollbacks add and operators edit: the fold of their entries."""

from __future__ import annotations

from typing import Any, Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.automation import CriterionChosen, CriterionDropped, CriterionLearned
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.judge.criteria import METRICS, SHARES

LIMIT_MAX: Final = 1e9


class AddedCriteria:
    """The added criteria of one service. `known` is {metric: {limit, origin, actor, reason, at}}."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}

    def apply(self, entry: Entry) -> None:
        """Apply the next entry. A rollback never raises a limit; an operator may."""
        fact = entry.fact
        if isinstance(fact, CriterionDropped):
            self.known = {metric: known for metric, known in self.known.items() if metric != fact.metric}
        elif isinstance(fact, CriterionLearned | CriterionChosen):
            known = self.known.get(fact.metric)
            if isinstance(fact, CriterionLearned) and known is not None and known["limit"] <= fact.limit:
                return
            criterion = {"limit": fact.limit, "origin": fact.origin, "actor": entry.actor, "reason": fact.reason}
            self.known = {**self.known, fact.metric: {**criterion, "at": entry.at}}

    # -- operations
    def set(self, metric: str, limit: float, actor: str, reason: str) -> list[Record]:
        """Return the entry that sets a limit; raise Refusal for an unknown metric or an invalid limit."""
        if metric not in METRICS:
            raise Refusal(RefusalCode.METRIC_UNKNOWN, f"there is no metric {metric!r}; there are: {', '.join(METRICS)}")
        limit_max = 1.0 if metric in SHARES else LIMIT_MAX
        if not 0 <= limit <= limit_max:
            raise Refusal(RefusalCode.LIMIT_INVALID, f"{metric} = {limit:g}: a limit is within 0 to {limit_max:g}")
        known = self.known.get(metric)
        if known is not None and known["limit"] == limit:
            return []
        return [Record(CriterionChosen(metric=metric, limit=limit, origin=actor, reason=reason), actor)]

    def remove(self, metric: str, actor: str, reason: str) -> list[Record]:
        """Return the entry that removes a criterion; raise Refusal if there is none."""
        known = self.known.get(metric)
        if known is None:
            names = ", ".join(sorted(self.known)) or "none"
            detail = (
                f"no criterion was added for {metric!r}; added are: {names} (those of the settings are edited there)"
            )
            raise Refusal(RefusalCode.CRITERION_UNKNOWN, detail)
        fact = CriterionDropped(metric=metric, limit=known["limit"], origin=known["origin"], reason=reason)
        return [Record(fact, actor)]
