from __future__ import annotations

from typing import Any

import pytest

from router.errors import Refusal
from router.rollout.facts.entry import Entry
from router.rollout.incidents.review import ACTIONS_MAX, COMMENTS_MAX, REVISIONS_MAX, Review, Reviews
from tests import entry_types

NEW = {"what": "a test", "kind": "preventive", "owner": None, "due": None}


def after(review: Review, **edit: Any) -> Review:
    return review.edited(review.checked("svc-1-2", {"edit": "one", **edit}), "ann", 5.0)


def test_an_edit_changes_what_it_names_and_counts() -> None:
    review = after(Review(), set={"owner": "ann", "severity": "sev1"}, comment="look")
    review = after(review, set={"owner": "bob"}, add_actions=[NEW, NEW])
    review = after(review, change_actions=[{"id": "a2", "state": "done", "owner": "cat"}])
    assert review == Review(
        revision=3,
        severity="sev1",
        owner="bob",
        actions=(
            {"id": "a1", "state": "open", **NEW},
            {"id": "a2", **NEW, "state": "done", "owner": "cat"},
        ),
        comments=({"at": 5.0, "actor": "ann", "text": "look"},),
        at=5.0,
        actor="ann",
    )


@pytest.mark.parametrize(
    ("status", "asked", "allowed"),
    [
        ("open", "open", True),
        ("open", "reviewed", True),
        ("open", "closed", False),
        ("reviewed", "closed", True),
        ("reviewed", "open", True),
        ("closed", "open", True),
        ("closed", "reviewed", False),
    ],
)
def test_status_goes_one_step_at_a_time(status: str, asked: str, allowed: bool) -> None:
    review, edit = Review(status=status), {"set": {"status": asked}}
    if allowed:
        assert after(review, **edit).status == asked
        return
    with pytest.raises(Refusal) as caught:
        review.checked("svc-1-2", {"edit": "one", **edit})
    assert caught.value.code == "incident_status"


@pytest.mark.parametrize(
    ("review", "edit", "code"),
    [
        (Review(revision=REVISIONS_MAX), {"set": {"owner": "x"}}, "incident_full"),
        (Review(actions=({"id": "a1"},) * ACTIONS_MAX), {"add_actions": [NEW]}, "incident_full"),
        (Review(comments=({},) * COMMENTS_MAX), {"comment": "one more"}, "incident_full"),
        (Review(), {"change_actions": [{"id": "a1", "state": "done"}]}, "action_unknown"),
    ],
    ids=["revisions", "actions", "comments", "unknown action"],
)
def test_what_is_refused(review: Review, edit: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as caught:
        review.checked("svc-1-2", {"edit": "one", **edit})
    assert caught.value.code == code


def test_an_entry_that_is_met_twice_counts_once() -> None:
    reviews = Reviews()
    entry = Entry(Review().checked("svc-1-2", {"edit": "one", "comment": "hm"}), "svc", "ann", 5.0, 5, 1, 7)
    reviews.apply(entry)
    reviews.apply(entry)
    reviews.apply(Entry.of(entry_types.FROZEN, "svc", "ann", {"reason": ""}, 5.0, 5, 1, 8))
    assert (reviews.of("svc-1-2").revision, len(reviews.of("svc-1-2").comments)) == (1, 1)
    assert reviews.of("svc-1-3") == Review()


def test_an_incident_with_a_root_cause_is_listed() -> None:
    reviews = Reviews()
    for number, member in enumerate(("owner", "root_cause")):
        data = {"incident": f"svc-1-{number}", "edit": member, "set": {member: "x"}}
        reviews.apply(Entry.of(entry_types.INCIDENT_EDITED, "svc", "ann", data, 5.0, 5, 1, 7))
    assert reviews.with_root_cause() == {"svc-1-1"}
