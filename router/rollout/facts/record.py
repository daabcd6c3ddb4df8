"""The commands of the rollout machine: record a fact, check the standby, raise and clear alarms."""

from __future__ import annotations

from dataclasses import dataclass

from router.rollout.facts.fact import Document, Fact
from router.rollout.facts.known import fact_of
from router.rollout.model.commands import CheckStandby, ClearAlarm, RaiseAlarm


@dataclass(frozen=True, slots=True)
class Record:
    """Append a fact by `actor` to the journal and apply it to the registry."""

    fact: Fact
    actor: str

    @classmethod
    def of(cls, kind: str, actor: str, data: Document) -> Record:
        """Return the record of the fact of type `kind` with the JSON members `data`."""
        return cls(fact_of(kind, data), actor)


Command = Record | CheckStandby | RaiseAlarm | ClearAlarm
