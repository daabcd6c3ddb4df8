"""Acceptance criteria that rollbacks add and operators edit: the fold of their entries."""

from __future__ import annotations

from typing import Any, Final

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.judge.criteria import METRICS, SHARES
from router.rollout.model import entry as entry_types
from router.rollout.model.commands import Record

LIMIT_MAX: Final = 1e9


class AddedCriteria:
    """The added criteria of one service. `known` is {metric: {limit, origin, actor, reason, at}}."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}

    def apply(self, entry: Entry) -> None:
        """Apply the next entry. A rollback never raises a limit; an operator may."""
        data = entry.data
        match entry.type:
            case entry_types.CRITERION_ADDED | entry_types.CRITERION_SET:
                known = self.known.get(data["metric"])
                if entry.type == entry_types.CRITERION_ADDED and known is not None and known["limit"] <= data["limit"]:
                    return
                criterion = {
                    "limit": data["limit"],
                    "origin": data["origin"],
                    "actor": entry.actor,
                    "reason": data["reason"],
                }
                self.known = {**self.known, data["metric"]: {**criterion, "at": entry.at}}
            case entry_types.CRITERION_REMOVED:
                self.known = {metric: known for metric, known in self.known.items() if metric != data["metric"]}
            case _:
                pass

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
        data = {"metric": metric, "limit": limit, "origin": actor, "reason": reason}
        return [Record(entry_types.CRITERION_SET, actor, data)]

    def remove(self, metric: str, actor: str, reason: str) -> list[Record]:
        """Return the entry that removes a criterion; raise Refusal if there is none."""
        known = self.known.get(metric)
        if known is None:
            names = ", ".join(sorted(self.known)) or "none"
            detail = (
                f"no criterion was added for {metric!r}; added are: {names} (those of the settings are edited there)"
            )
            raise Refusal(RefusalCode.CRITERION_UNKNOWN, detail)
        data = {"metric": metric, "limit": known["limit"], "origin": known["origin"], "reason": reason}
        return [Record(entry_types.CRITERION_REMOVED, actor, data)]
