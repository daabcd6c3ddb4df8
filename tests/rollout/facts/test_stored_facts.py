"""Journals of earlier releases: every fact is read, and written again without the members that are gone."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from router.rollout.facts.entry import Entry
from router.rollout.facts.known import FACTS, OtherFact, fact_of, fact_of_json

STORED: Final = sorted((Path(__file__).parents[2] / "stored").glob("*/journal.sqlite"))
GONE: Final = frozenset({"slot", "incarnation"})
"""Where a version was in the memory of one router: members of `target`, or of the fact."""


def rows(journal: Path) -> list[tuple[str, str, int]]:
    database = sqlite3.connect(f"{journal.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        return database.execute("SELECT type, data, monotonic_ns FROM entries ORDER BY seq").fetchall()
    finally:
        database.close()


def without_gone(data: dict[str, Any]) -> dict[str, Any]:
    target = {name: value for name, value in data.get("target", {}).items() if name not in GONE}
    return {name: value for name, value in data.items() if name not in GONE} | ({"target": target} if target else {})


@pytest.mark.parametrize("journal", STORED, ids=[path.parent.name for path in STORED])
def test_every_stored_fact_is_read_and_written_again(journal: Path) -> None:
    found = rows(journal)
    assert len(found) > 40
    for kind, text, monotonic_ns in found:
        fact = fact_of_json(kind, text)
        assert not isinstance(fact, OtherFact), kind
        assert fact == fact_of(kind, json.loads(text))
        assert json.dumps(fact.to_data(), sort_keys=True) == json.dumps(without_gone(json.loads(text)), sort_keys=True)
        entry = Entry.of(kind, "svc", "ann", json.loads(text), 1.0, monotonic_ns, 1)
        assert "_ns" not in json.dumps(entry.fact.to_data()), kind
    assert {kind for kind, _, _ in found} <= FACTS.keys()
