"""Every state of a service has its words, and the first that fits is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.control.views.headline import HeadlineDocument, ServiceSituation, headline
from tests.control.views.headline_texts import WORDS

NOW = 1_800_000_000.0
PROMOTED = {
    "type": "promoted", "from": "v1", "to": "v2", "cause": "operator", "actor": "mara", "reason": "weekly retrain",
    "at": NOW - 500,
}  # fmt: skip
BACK = {
    "type": "rolled_back", "from": "v2", "to": "v1", "cause": "verdict", "actor": "verdict", "at": NOW - 40, "swap_us": 300,
    "reason": "276 of 300 requests failed", "confirmed_ms": 2.3,
    "trigger": {"kind": "hard_failure", "detail": "errors", "value": 0.92, "limit": 0.9},
}  # fmt: skip
ASKED = {
    "id": "svc-rollback-3", "kind": "rollback", "to": "v1", "opened_by": "alertmanager", "reason": "approvals are low",
    "expires_at": NOW + 1620,
}  # fmt: skip
WELL = ServiceSituation(
    NOW, "v2", "v1", since=NOW - 500, last_switch=PROMOTED, verdict="pass", requests=12_000, last_request_age_s=0.1
)
PROBATION: dict[str, Any] = {
    "on_probation": True, "probation_left_s": 252.7, "probation_requests": 600, "probation_requests_needed": 500,
}  # fmt: skip
QUIET: dict[str, Any] = {
    "quiet_s": 8.3, "asked_since": 1714, "waiting": 424, "acts_in_s": 1.7, "verdict": "inconclusive", **PROBATION,
}  # fmt: skip

STATES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no active": ({"active": None}, "act", "no_active"),
    "nothing useful": (QUIET, "act", "nothing_useful"),
    "nothing useful, one waits": ({**QUIET, "asked_since": 3, "waiting": 1, "acts_in_s": None}, "act", "nothing_useful"),
    "nothing useful, no way back": ({**QUIET, "no_way_back": "there is no standby"}, "act", "nothing_useful"),
    "nothing useful, frozen": ({**QUIET, "objections": ("frozen by ann",)}, "act", "nothing_useful"),
    "held": ({"failing": "14 faults in 15 requests", "held": "there is no standby"}, "act", "held"),
    "near": ({"near": "25 % failed", "near_distance": "acts after 3.0 s more of this"}, "warn", "failing"),
    "recent faults": ({"near": "9 faults in 9 requests"}, "warn", "failing"),
    "rolled back": (
        {"active": "v1", "standby": None, "last_switch": BACK, "incident": "svc-1-4", "no_way_back": "there is no standby"},
        "warn", "rolled_back",
    ),
    "rolled back by an operator": (
        {"active": "v1", "standby": None, "incident": "svc-1-4", "no_way_back": "there is no standby", "verdict": "inconclusive",
         "last_switch": {**BACK, "cause": "operator", "actor": "jonas", "reason": "wrong scores.", "trigger": None}},
        "warn", "rolled_back",
    ),
    "rolled back, seen to": (
        {"active": "v1", "standby": None, "last_switch": BACK, "no_way_back": "there is no standby"}, "warn", "no_way_back",
    ),
    "no way back": ({"no_way_back": "the last probes of v1 failed: refused"}, "warn", "no_way_back"),
    "proposal": ({"proposal": ASKED, **PROBATION}, "warn", "proposal"),
    "proposal of a promotion": ({"proposal": {**ASKED, "kind": "promotion", "to": "v3"}}, "warn", "proposal"),
    "observed": ({"observed": "25 % failed"}, "warn", "observed"),
    "frozen": ({"frozen": {"actor": "jonas", "reason": "migration", "at": NOW - 7300}}, "look", "frozen"),
    "frozen without a reason": ({"frozen": {"actor": "jonas", "reason": "", "at": NOW - 200_000}}, "look", "frozen"),
    "drill": ({"drill_home": "v1", "drill_left_s": 6.6}, "look", "drill"),
    "probation": (PROBATION, "look", "probation"),
    "probation, few requests": (
        {**PROBATION, "probation_left_s": -5.0, "probation_requests": 12, "verdict": "inconclusive"}, "look", "probation",
    ),
    "idle": ({"requests": 0, "last_request_age_s": 150.0, "verdict": "inconclusive"}, "look", "idle"),
    "idle since the start": ({"requests": 0, "last_request_age_s": None, "standby": None}, "look", "idle"),
    "well": ({}, "ok", "serving"),
    "too few to tell": ({"verdict": "inconclusive"}, "ok", "serving"),
}  # fmt: skip


def told(**changes: Any) -> HeadlineDocument:
    return headline(replace(WELL, **changes))


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_its_level_and_its_words(name: str) -> None:
    changes, level, state = STATES[name]
    found = told(**changes)
    assert (found["level"], found["state"]) == (level, state)
    assert (found["line"], found["lead"]) == WORDS[name]


def test_the_first_state_that_fits_is_chosen() -> None:
    """All at once: each state gives way to the one before it in the table."""
    everything: dict[str, Any] = {}
    order = [
        "idle",
        "probation",
        "drill",
        "frozen",
        "observed",
        "proposal",
        "no way back",
        "near",
        "held",
        "nothing useful",
    ]
    for name in order:
        changes = {key: value for key, value in STATES[name][0].items() if key not in ("verdict", *PROBATION)}
        everything |= changes | (PROBATION if name == "probation" else {})
        assert told(**everything)["state"] == STATES[name][2]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({**QUIET, "quiet_s": 2.9}, "probation"),
        ({**QUIET, "quiet_s": 3.0}, "nothing_useful"),
        ({**QUIET, "asked_since": 2}, "probation"),
        ({**QUIET, "median_s": 5.0}, "probation"),  # a slow model: two medians have not passed
        ({**QUIET, "median_s": 4.0}, "nothing_useful"),
        ({"held": "there is no standby"}, "serving"),
        ({"failing": "14 of 15"}, "serving"),  # it is being rolled back
    ],
)
def test_the_limits_of_a_state(changes: dict[str, Any], state: str) -> None:
    assert told(**changes)["state"] == state


def test_a_version_that_answers_nothing_never_looks_well() -> None:
    for name, (changes, _, _) in STATES.items():
        found = told(**{**changes, "verdict": "inconclusive"})
        assert "All is well" not in found["lead"], name
        assert "does well" not in found["lead"], name
        assert "served well" not in found["lead"], name


def test_since_until_by_and_reason_are_those_of_the_state() -> None:
    def times(found: HeadlineDocument) -> tuple[Any, ...]:
        clocks = (at and at[11:19] for at in (found["since"], found["until"]))
        return (*clocks, found["by"], found["reason"])

    assert times(told()) == ("07:51:40", None, "mara", "weekly retrain")
    assert times(told(**PROBATION)) == ("07:51:40", "08:04:13", "mara", "weekly retrain")
    assert times(told(**STATES["rolled back"][0])) == ("07:59:20", None, "verdict", "276 of 300 requests failed")
    assert times(told(proposal=ASKED)) == ("07:51:40", "08:27:00", "alertmanager", "approvals are low")
    assert times(told(**STATES["frozen"][0])) == ("05:58:20", None, "jonas", "migration")
    assert times(told(**QUIET)) == ("07:59:51", None, None, None)
    assert times(told(**STATES["drill"][0])) == ("07:51:40", "08:00:07", None, None)


def test_the_numbers_of_a_state_are_in_its_params() -> None:
    assert told(**QUIET)["params"] == {
        "seconds": 8, "asked": 1714, "waiting": 424, "acts_in_s": 1.7, "version": "v2", "standby": "v1",
    }  # fmt: skip
    assert told(**STATES["rolled back"][0])["params"] == {
        "version": "v1", "left": "v2", "incident": "svc-1-4", "automatic": True, "swap_us": 300, "confirmed_ms": 2.3,
        "kind": "hard_failure", "detail": "errors", "value": 0.92, "limit": 0.9,
    }  # fmt: skip
