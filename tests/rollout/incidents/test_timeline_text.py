from __future__ import annotations

from typing import Any

import pytest

from router.rollout.facts.entry import Entry
from router.rollout.incidents.timeline_text import TEXT_CHARS_MAX, describe
from tests import entry_types

ALERT = {
    "kind": "business",
    "name": "refunds",
    "status": "firing",
    "summary": "up 40 %",
    "detail": "it began long ago",
}


NEEDED: dict[str, dict[str, Any]] = {
    entry_types.CONFIRMED: {"generation": 5},
    entry_types.INCIDENT_EDITED: {"incident": "i1", "edit": "e1"},
    entry_types.CASES_FROZEN: {"incident": "i1"},
    entry_types.ALERT: {"fingerprint": "f1"},
    entry_types.PROPOSED: {"number": 1, "expire_after_s": 60.0, "at_expiry": "hold"},
}
"""Members that a fact must have and that its text does not show."""


def text_of(_kind: str, **data: Any) -> str:
    return describe(Entry.of(_kind, "svc", "ann", NEEDED.get(_kind, {}) | data, 1.0, 2, 3, 4)).text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (text_of(entry_types.BOOT, boot=3), "the router was started (boot 3)"),
        (
            text_of(entry_types.PROMOTED, **{"from": None, "to": "v1", "reason": ""}),
            "v1 became active, no version was active before",
        ),
        (
            text_of(entry_types.ROLLED_BACK, **{"from": "v2", "to": "v1", "reason": "refused", "unreachable": True}),
            "decided: rollback from v2 to v1; v2 is tagged unreachable: refused",
        ),
        (
            text_of(entry_types.CONFIRMED, workers_unconfirmed=[1, 3], confirmed_ms=None),
            "workers 1, 3 have not confirmed the route yet",
        ),
        (
            text_of(entry_types.CONFIRMED, workers_unconfirmed=[], confirmed_ms=None),
            "every worker is on the new route; when the last one followed is not known",
        ),
        (
            text_of(entry_types.DRAIN_CUT, version="v2", after_s=300.0),
            "the remaining requests of v2 were cut after 300 s",
        ),
        (
            text_of(
                entry_types.MOVED, **{"from": ["http://a:1"], "target": {"version": "v2", "endpoints": ["http://b:1"]}}
            ),
            "the endpoints of v2 moved from http://a:1 to http://b:1",
        ),
        (
            text_of(entry_types.INCIDENT_EDITED, set={"root_cause": "x", "status": "reviewed"}),
            "root cause set; now reviewed",
        ),
        (text_of("alert_received", reason="drift"), "alert received: drift"),
        (text_of(entry_types.EVIDENCE_ADDED, proposal="p-1", evidence={}), "evidence added"),
        (
            text_of(entry_types.CASES_FROZEN, cases=["a", "b"], seen=3, version="v2"),
            "2 regression cases were made of 3 failing requests of v2",
        ),
        (text_of(entry_types.CASES_CHECKED, version="v3", failed=1, cases=2), "v3 fails 1 of 2 regression cases"),
        (text_of(entry_types.ALERT, **ALERT, about="v2"), "business alert refunds firing (up 40 %), against v2"),
        (text_of(entry_types.ALERT, **ALERT, about=None), "business alert refunds firing (up 40 %): it began long ago"),
        (
            text_of(entry_types.PROPOSED, proposal="p-1", kind="rollback", version="v2", to="v1", reason="refunds"),
            "proposal p-1: roll back from v2 to v1? (refunds)",
        ),
        (
            text_of(entry_types.PROPOSED, proposal="p-2", kind="promotion", version="v2", to="v2", reason=""),
            "proposal p-2: promote v2?",
        ),
        (text_of(entry_types.APPROVED, proposal="p-1", reason="yes"), "proposal p-1 was approved: yes"),
        (
            text_of(entry_types.CRITERION_SET, metric="late_share", limit=0.02, reason="sla"),
            "to be accepted, versions need late_share of at most 0.02: sla",
        ),
        (text_of(entry_types.DRILL_REFUSED, drill="d-1", reasons=["frozen"]), "drill d-1 was refused: frozen"),
        (
            text_of(entry_types.INPUT_DRIFT, state="over", version="v2"),
            "requests to v2 match the reference again",
        ),
        (text_of(entry_types.DRAINED, after_s=3), "the version has ended its last request (3 s)"),
    ],
)
def test_what_happened_in_words(text: str, said: str) -> None:
    assert text == said


def test_a_line_is_bounded_and_has_its_version() -> None:
    found = describe(
        Entry.of(entry_types.PROMOTED, "svc", "ann", {"from": "v1", "to": "v2", "reason": "x" * 500}, 1.0, 2, 3, 4)
    )
    assert (len(found.text), found.text[-1], found.version) == (TEXT_CHARS_MAX, "…", "v2")
    assert (found.at, found.monotonic_ns, found.boot, found.actor, found.seq) == (1.0, 2, 3, "ann", 4)
