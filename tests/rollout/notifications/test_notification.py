"""What people are told: whole messages, and ids that a restart makes again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.rollout.facts.entry import Entry
from router.rollout.facts.switches import Confirmed
from router.rollout.notifications.notification import from_dict, notification_of, record_completed, trigger_facts
from tests import entry_types
from tests.texts import golden

NS = 1_000_000_000
TRIGGER = {
    "kind": "error_rate", "detail": "", "state": "fail", "action": "rollback", "reason": "12.00 % of 100", "value": 0.12,
    "limit": 0.05, "baseline": 0.004, "samples": 100, "window_s": 60.0, "evidence_since_ns": 7 * NS, "distance": "acts now",
}  # fmt: skip
ROLLED: dict[str, Any] = {
    "generation": 16777219, "states": {}, "from": "fraud-v8", "to": "fraud-v7", "reason": "12.00 % of 100",
    "incident": "fraud-1-3", "automatic": True, "trigger": TRIGGER, "evidence": None, "unreachable": False,
}  # fmt: skip
TIMES = Confirmed(generation=16777219, swap_us=85, confirmed_ms=3.25)


def entry(kind: str, data: dict[str, Any], actor: str = "verdict") -> Entry:
    return Entry.of(kind, "fraud", actor, data, 1_700_000_000.0, 20 * NS, 1, 0)


def test_a_rollback_names_everything() -> None:
    actual = notification_of(entry(entry_types.ROLLED_BACK, ROLLED), TIMES)
    assert actual is not None
    assert (actual.id, actual.topic, actual.severity) == ("fraud-rolled_back-16777219", "rollback", "critical")
    assert actual.title == golden("notification.rolled_back")
    assert actual.facts == (
        ("Service", "fraud"),
        ("From", "fraud-v8 (quarantined)"),
        ("To", "fraud-v7"),
        ("Trigger", "error_rate"),
        ("Observed", golden("notification.observed")),
        ("Samples", "100 in 60 s"),
        ("Reason", "12.00 % of 100"),
        ("Time taken", golden("notification.time_taken")),
        ("Incident", "fraud-1-3"),
    )
    assert actual.data["trigger"]["samples"] == 100
    assert (actual.data["swap_us"], actual.data["confirmed_ms"], actual.data["automatic"]) == (85, 3.25, True)
    assert actual.path == "/v1/incidents/fraud-1-3"
    assert from_dict(actual.as_dict()) == actual


@pytest.mark.parametrize(
    ("change", "times", "titled", "taken"),
    [
        pytest.param({"automatic": False, "trigger": None}, None, "rolled back by ann", None, id="by hand"),
        pytest.param({}, None, "rolled back automatically", "decided 13.0 s after the first fault", id="not confirmed yet"),
        pytest.param(
            {"trigger": None}, replace(TIMES, confirmed_ms=None, workers_unconfirmed=(1,)), "rolled back automatically",
            "swap 85 µs; workers [1] have not confirmed", id="a worker is late"),
    ],
)  # fmt: skip
def test_unknown_figures_are_left_out(
    change: dict[str, Any], times: Confirmed | None, titled: str, taken: str | None
) -> None:
    actual = notification_of(entry(entry_types.ROLLED_BACK, ROLLED | change, "ann"), times)
    assert actual is not None
    assert titled in actual.title
    assert dict(actual.facts).get("Time taken") == taken


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (TRIGGER | {"kind": "hard_failure", "detail": "hang", "value": 10.4, "limit": 10.0, "baseline": None},
         "10.4 s against a limit of 10.0 s"),
        (TRIGGER | {"kind": "quality", "detail": "alert", "value": 1.0, "limit": 0.0, "baseline": None},
         "1 against a limit of 0"),
        (TRIGGER | {"kind": "hard_failure", "detail": "errors", "value": 6.0, "limit": 5.0, "baseline": None},
         "6 against a limit of 5"),
        (TRIGGER | {"kind": "hard_failure", "detail": "errors", "value": 0.95, "limit": 0.9, "baseline": None},
         "95.00% against a limit of 90.00%"),
    ],
)  # fmt: skip
def test_figures_have_their_unit(trigger: dict[str, Any], expected: str) -> None:
    assert dict(trigger_facts(trigger))["Observed"] == expected


def test_other_facts() -> None:
    held = notification_of(
        entry(entry_types.NO_BETTER_TARGET, {"active": "v8", "obstacles": ["v7 is quarantined"], "trigger": TRIGGER})
    )
    assert held is not None
    assert (held.topic, held.title) == ("no_better_target", golden("notification.nothing_better"))
    assert dict(held.facts)["Obstacles"] == "v7 is quarantined"

    promoted = {"generation": 5, "from": "v7", "to": "v8", "reason": "promoted", "states": {}}
    switched = notification_of(entry(entry_types.PROMOTED, promoted, "ann"), TIMES)
    assert switched is not None
    assert (switched.topic, switched.title) == ("switch", golden("notification.promoted"))

    alert = {
        "kind": "quality", "status": "firing", "name": "Drift", "about": "v8", "summary": "PSI", "fingerprint": "f1",
        "starts_at": None, "labels": {}, "fate": "counts",
    }  # fmt: skip
    counted = notification_of(entry(entry_types.ALERT, alert, "am"))
    assert counted is not None
    assert counted.title == golden("notification.alert")
    assert notification_of(entry(entry_types.ALERT, alert | {"about": None})) is None
    assert notification_of(entry(entry_types.FROZEN, {"reason": ""})) is None


def test_proposals() -> None:
    data = {
        "proposal": "fraud-rollback-1", "number": 1, "kind": "rollback", "version": "v8", "from": "v8", "to": "v7",
        "reason": "alert Sales: fewer", "expire_after_s": 1800.0, "at_expiry": "hold",
        "evidence": {"cause": "business:Sales", "trigger": TRIGGER, "alert": {"name": "Sales", "summary": "fewer"}},
    }  # fmt: skip
    asked = notification_of(entry(entry_types.PROPOSED, data, "am"))
    assert asked is not None
    assert (asked.topic, asked.title) == (
        "proposal",
        golden("notification.proposed", service="fraud", version="v8", to="v7"),
    )
    facts = dict(asked.facts)
    assert (facts["Alert"], facts["Decide within"]) == ("Sales: fewer", "30 min, else hold")
    assert asked.data["proposal"] == "fraud-rollback-1"

    promotion = notification_of(
        entry(entry_types.PROPOSED, data | {"kind": "promotion", "version": "v9", "evidence": None}, "ann")
    )
    assert promotion is not None
    assert promotion.title == "fraud: promote v9?"

    ended = {"proposal": "fraud-rollback-1", "kind": "rollback", "version": "v8", "reason": "no", "default": "hold"}
    titles = [notification_of(entry(kind, ended, "ann")) for kind in (entry_types.DENIED, entry_types.PROPOSAL_EXPIRED)]
    assert [actual.title for actual in titles if actual] == [
        golden("notification.denied"),
        "fraud: proposal fraud-rollback-1 has expired",
    ]


def test_drills() -> None:
    data = {
        "drill": "fraud-drill-1", "mode": "real", "by": "schedule", "from": "v8", "to": "v7", "hold_s": 10.0, "reason": "",
        "result": "passed", "reasons": [], "swaps": [{"confirmed_ms": 2.04}, {"confirmed_ms": 3.0}],
    }  # fmt: skip
    passed = notification_of(entry(entry_types.DRILL_ENDED, data, "control"))
    assert passed is not None
    assert (passed.topic, passed.severity, passed.title) == ("drill", "info", "fraud: drill fraud-drill-1 passed")
    assert dict(passed.facts)["Time taken"] == golden("notification.drill_times")
    refused = {name: data[name] for name in data if name != "swaps"} | {"result": "refused", "reasons": ["frozen"]}
    actual = notification_of(entry(entry_types.DRILL_REFUSED, refused, "schedule"))
    assert actual is not None
    assert (actual.severity, dict(actual.facts)["Reasons"]) == ("warning", "frozen")


def test_a_complete_record_names_the_same_figures() -> None:
    actual, rolled = (
        record_completed(entry(entry_types.ROLLED_BACK, ROLLED), 5.0),
        notification_of(entry(entry_types.ROLLED_BACK, ROLLED)),
    )
    assert rolled is not None
    assert (actual.id, actual.topic, actual.at) == ("fraud-1-3-complete", "incident", 5.0)
    assert actual.title == golden("notification.incident_complete")
    assert actual.facts == rolled.facts
    assert actual.path == "/v1/incidents/fraud-1-3.html"


def test_the_same_fact_has_the_same_id_whether_the_disk_has_it_or_not() -> None:
    for kind, data in (
        (entry_types.ROLLED_BACK, ROLLED),
        (entry_types.NO_BETTER_TARGET, {"active": "v8", "obstacles": []}),
    ):
        live = notification_of(entry(kind, data))
        again = notification_of(replace(entry(kind, data), seq=12), TIMES)
        assert live is not None
        assert again is not None
        assert live.id == again.id
