"""The fact of an operator's edit of an incident's review."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from router.rollout.facts.fact import ALWAYS, Document, Fact


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEdited(Fact):
    """An edit. `revision`: the number of the review after it; `edit`: a unique id, so that it counts once if it is applied twice.

    `changes`: new values of status, severity, owner, root_cause. Actions have ids; one is never used again.
    """

    TYPE: ClassVar[str] = "incident_edited"
    incident: str
    revision: int = field(default=0, metadata=ALWAYS)
    edit: str
    changes: Document | None = field(default=None, metadata={"alias": "set"})
    add_actions: tuple[Document, ...] = ()
    change_actions: tuple[Document, ...] = ()
    comment: str | None = None
