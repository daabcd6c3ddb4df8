from __future__ import annotations

import pytest

from router.control.store.batch import Batch, JournalUnavailable, Phase, compensation
from router.control.store.in_doubt import STRUCK_OUT, InDoubtChange
from router.rollout.facts.entry import Entry
from router.runtime.exit_codes import exit_code

ENTRY = Entry.of("switched", "svc", "ann", {"to": "v2"}, 1000.0, 5, 1)


def batch() -> Batch:
    return Batch((ENTRY,), lambda numbers: None, lambda error: None)


def test_who_leaves_first_decides_that_it_was_never_handed_over() -> None:
    made = batch()
    assert made.leave() is Phase.GIVEN_UP
    assert not made.hand_over()
    assert not made.ended(Phase.WRITTEN)
    assert made.leave() is Phase.GIVEN_UP


@pytest.mark.parametrize("end", [Phase.WRITTEN, Phase.REFUSED])
def test_what_was_handed_over_is_in_doubt_for_who_leaves_before_its_end(end: Phase) -> None:
    made = batch()
    assert made.hand_over()
    assert made.leave() is Phase.LEFT
    assert not made.ended(end), "nobody waits any more"
    waited_for = batch()
    assert waited_for.hand_over()
    assert waited_for.ended(end)
    assert waited_for.leave() is end


def test_the_error_says_nothing_was_changed_only_without_a_doubt() -> None:
    refused = JournalUnavailable("full")
    assert (refused.in_doubt, refused.facts, exit_code(refused)) == (False, {"in_doubt": False}, 9)
    assert "nothing was changed" in refused.detail
    doubt = InDoubtChange(7, 2, 9, "switched", "svc", "ann", 1000.0)
    doubted = JournalUnavailable("no answer", doubt=doubt)
    assert (doubted.in_doubt, doubted.facts, exit_code(doubted)) == (True, {"in_doubt": True, "seq": 7}, 1)
    assert "nothing was changed" not in doubted.detail
    doubt.outcome = STRUCK_OUT
    assert not doubted.in_doubt


def test_every_entry_of_a_change_is_taken_back() -> None:
    entries = compensation(InDoubtChange(7, 2, 9, "switched", "svc", "ann", 1000.0), ENTRY).entries
    assert [(entry.type, entry.service, entry.fact.to_data()) for entry in entries] == [
        ("abandoned", "svc", {"abandons": 7}),
        ("abandoned", "svc", {"abandons": 8}),
    ]
