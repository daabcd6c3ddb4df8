"""Old journals mean today what they meant when they were written: tests/stored/folds has what commit 43fbe49 made of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.stored.folds import FOLDS, LONG_SEEDS, digests, fold, kinds, known_kinds, long_entries, sets, stored_entries


def kept(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDS / f"{name}.json").read_text("utf-8"))
    return document


def differences(kept_value: Any, value: Any, place: str = "") -> list[tuple[str, Any, Any]]:
    """Return each place where two documents differ, with both values: a failure names a member and not the whole registry."""
    if isinstance(kept_value, dict) and isinstance(value, dict):
        names = sorted(kept_value.keys() | value.keys())
        pairs = [(kept_value.get(name, "(not there)"), value.get(name, "(not there)"), name) for name in names]
        return [found for before, now, name in pairs for found in differences(before, now, f"{place}/{name}")]
    if isinstance(kept_value, list) and isinstance(value, list) and len(kept_value) == len(value):
        numbered = enumerate(zip(kept_value, value, strict=True))
        return [found for number, pair in numbered for found in differences(*pair, f"{place}/{number}")]
    return [] if kept_value == value else [(place, kept_value, value)]


@pytest.mark.parametrize("name", sets())
def test_a_stored_journal_is_folded_to_the_same_state_and_told_in_the_same_words(name: str) -> None:
    assert differences(kept(name), fold(stored_entries(name))) == []


@pytest.mark.parametrize("seed", LONG_SEEDS)
def test_a_long_journal_is_folded_to_the_same_state_at_each_step(seed: int) -> None:
    assert differences(kept(f"long_{seed}"), digests(long_entries(seed))) == []


def test_a_long_journal_has_every_kind_of_entry() -> None:
    assert known_kinds() - kinds(long_entries(1)) == set()


def test_a_difference_is_named_by_its_place() -> None:
    before = {"registries": {"a": {"frozen": None, "targets": [1, 2]}}}
    now = {"registries": {"a": {"frozen": {"actor": "ann"}, "targets": [1, 3]}}}
    assert differences(before, now) == [
        ("/registries/a/frozen", None, {"actor": "ann"}),
        ("/registries/a/targets/1", 2, 3),
    ]
