"""The command that records a fact."""

from __future__ import annotations

from router.rollout.facts.fact import Fact
from router.rollout.model.commands import Record


def record_of(fact: Fact, actor: str) -> Record:
    """Return the command that appends `fact` by `actor` to the journal and applies it."""
    return Record(fact.type, actor, fact.to_data())
