"""The fact of an alert from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from router.rollout.facts.fact import ALWAYS, Document, Fact, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertReceived(Fact):
    """An alert that arrived. `version`: the version that it names; `about`: the version that it counts against, or None.

    `fate`: its disposition (rollout/alerts/alert.py), `detail`: why. `starts_at`: wall seconds on the sender's clock.
    """

    TYPE: ClassVar[str] = "alert"
    fingerprint: str
    status: Literal["firing", "resolved"]
    starts_at: Number | None = field(default=None, metadata=ALWAYS)
    kind: Literal["quality", "business"]
    version: str | None = field(default=None, metadata=ALWAYS)
    name: str = field(default="", metadata=ALWAYS)
    summary: str = field(default="", metadata=ALWAYS)
    labels: Document = field(default_factory=dict, metadata=ALWAYS)
    fate: str = field(default="", metadata=ALWAYS)
    detail: str = field(default="", metadata=ALWAYS)
    about: str | None = field(default=None, metadata=ALWAYS)
