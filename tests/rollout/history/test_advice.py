from __future__ import annotations

import tomllib
from dataclasses import asdict, replace

import pytest

from router.rollout.history.advice import (
    MATCH_S,
    CandidateResult,
    KnownRollback,
    as_document,
    changed_settings,
    choose,
    match_rollbacks,
    recorded_alarms,
    settings,
    trials,
)
from router.rollout.history.backtest import Alarm, Trial, replay
from router.rollout.judge.rules import ErrorRateRule, LatencyRule, Rules
from router.rollout.stats.histogram import BUCKETS, index
from router.settings.loader import load
from tests.rollout.stored_rows import WALL_MS, Recording

DAY_S = 86_400.0
NOTHING = (0,) * BUCKETS


def usual(first_byte_ms: float) -> list[int]:
    times = [0] * BUCKETS
    times[index(int(first_byte_ms * 1000))] = 1000
    return times


def trial(*at_s: float, days: float = 30.0, until_s: float = 0.0, version: str = "v1", name: str = "tried") -> Trial:
    """One that raised alarms at these seconds, each standing for `until_s`."""
    made = Trial(name, "error_rate", Rules(), 120.0)
    made.seconds = days * DAY_S
    made.alarms = [
        Alarm(WALL_MS + int(one * 1000), WALL_MS + int((one + until_s) * 1000), version, 0.3, 0.05, 100, "bad")
        for one in at_s
    ]
    return made


def rollback(at_s: float, left: str = "v1") -> KnownRollback:
    return KnownRollback(WALL_MS / 1000 + at_s, left, "an operator")


def test_an_alarm_before_a_rollback_was_right_and_every_other_one_was_false() -> None:
    found = match_rollbacks(trial(100, 5_000, 20_000), [rollback(700), rollback(21_700), rollback(30_000)])
    assert (found.caught, found.leads_s) == ((0, 1), (600.0, 1_700.0))
    assert [alarm.at_ms - WALL_MS for alarm in found.false] == [5_000_000]
    assert found.per_month == 1.0
    assert found.between == (pytest.approx(0.0513, abs=1e-4), pytest.approx(4.744, abs=1e-3))


@pytest.mark.parametrize(
    ("at_s", "until_s", "left", "caught"),
    [
        pytest.param(1_000, 0, "v1", True, id="just before"),
        pytest.param(1_012, 0, "v1", True, id="a row late"),
        pytest.param(1_025, 0, "v1", False, id="after it"),
        pytest.param(1_000 - MATCH_S - 10, 0, "v1", False, id="long before"),
        pytest.param(1_000 - MATCH_S - 10, 60, "v1", True, id="long before, and it stood"),
        pytest.param(900, 0, "v2", False, id="of another version"),
    ],
)
def test_which_alarm_was_right(at_s: float, until_s: float, left: str, caught: bool) -> None:
    found = match_rollbacks(trial(at_s, until_s=until_s), [rollback(1_005, left)])
    assert (found.caught == (0,)) is caught


def test_what_the_present_rule_did_it_has_seen_and_a_stricter_one_would_have() -> None:
    happened = [
        KnownRollback(WALL_MS / 1000 + 1_000, "v1", "error_rate"),
        KnownRollback(WALL_MS / 1000, "v1", "latency"),
    ]
    assert match_rollbacks(trial(name="as it is"), happened).leads_s == (0.0,)
    assert match_rollbacks(trial(700, name="twice as strict"), happened).leads_s == (300.0,)
    assert match_rollbacks(trial(name="twice as loose"), happened).caught == ()


def test_two_days_without_a_false_alarm_say_fewer_than_45_a_month() -> None:
    found = match_rollbacks(trial(days=2), [])
    assert found.per_month == 0
    assert found.between == (0.0, pytest.approx(44.9, abs=0.1))
    assert match_rollbacks(trial(days=0), []).between is None


def outcomes(present: Trial, *others: Trial, rollbacks: int = 2) -> list[CandidateResult]:
    return [
        match_rollbacks(one, [rollback(1_000 + 10_000 * number) for number in range(rollbacks)])
        for one in (present, *others)
    ]


@pytest.mark.parametrize(
    ("found", "days", "name", "why"),
    [
        pytest.param(
            outcomes(trial(990, name="present"), trial(900, 10_900, name="strict")), 30, "strict",
            "2 instead of 1 rollback detected, 100 instead of 10 s before, with 0 false alarms in 30 days", id="it sees more",
        ),
        pytest.param(
            outcomes(trial(990, 10_990, name="present"), trial(900, 10_900, name="strict")), 30, "strict",
            "2 instead of 2 rollbacks detected, 100 instead of 10 s before, with 0 false alarms in 30 days", id="it sees sooner",
        ),
        pytest.param(
            outcomes(trial(990, name="present"), trial(900, 10_900, 50_000, 60_000, name="strict")), 30, "present",
            "no tried limits detect more rollbacks, or earlier, without more false alarms", id="too many false alarms",
        ),
        pytest.param(
            outcomes(trial(990, name="present", days=3), trial(900, 10_900, name="strict", days=3)), 3, "present",
            "3.0 days are too little to propose anything stricter (7 are needed)", id="too little data",
        ),
        pytest.param(
            outcomes(trial(990, 50_000, 60_000, name="present"), trial(995, name="loose")), 30, "loose",
            "0.0 false alarms a month instead of 2.0", id="the present one has too many",
        ),
        pytest.param(
            outcomes(trial(990, 50_000, 60_000, name="present"), trial(name="loose")), 30, "present",
            'it has too many false alarms, and no tried limits detect as many rollbacks with fewer: action = "observe"',
            id="nothing better",
        ),
        pytest.param(
            outcomes(trial(name="present"), trial(name="strict"), rollbacks=0), 30, "present",
            "no tried limits detect more rollbacks, or earlier, without more false alarms", id="nothing happened",
        ),
    ],
)  # fmt: skip
def test_what_is_proposed_and_why(found: list[CandidateResult], days: float, name: str, why: str) -> None:
    chosen, reason = choose(found, days, 1.0)
    assert (chosen.trial.name, reason) == (name, why)


def test_an_exhausted_trial_is_not_proposed() -> None:
    strict = trial(900, 10_900, name="strict")
    strict.exhausted_ms = WALL_MS
    assert choose(outcomes(trial(990, name="present"), strict), 30, 1.0)[0].trial.name == "present"


def test_what_is_put_on_trial() -> None:
    found = trials(Rules(latency=LatencyRule(slo_ms=100.0)), 60.0, NOTHING)
    assert {kind: [one.name for one in named] for kind, named in found.items()} == {
        "hard_failure": ["as it is", "fewer faults", "smaller share", "both"],
        "error_rate": ["as it is", "twice as loose", "twice as strict", "4 × as strict", "10 × as strict"],
        "latency": [
            "as it is", "twice as loose", "twice as strict", "4 × as strict", "10 × as strict", "sooner",
            "sooner, twice as strict",
        ],
    }  # fmt: skip
    assert changed_settings("error_rate", Rules(), found["error_rate"][2].rules) == {
        "baseline_factor": 1.5, "rate_floor": 0.01, "rate_floor_without_baseline": 0.025,
    }  # fmt: skip


def test_without_an_objective_some_are_tried_from_what_is_usual() -> None:
    found = trials(Rules(), 60.0, usual(40.0))["latency"]
    assert [one.rules.latency.slo_ms for one in found] == [None, 61.0, 82.0, 120.0, 200.0]
    assert [one.name for one in trials(Rules(), 60.0, NOTHING)["latency"]] == ["not configured"]


@pytest.mark.parametrize("service", ["fraud", "fraud-v2", "fraud.eu"])
def test_settings_to_paste_are_settings(service: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = Rules(latency=LatencyRule(slo_ms=100.0))
    strictest = {kind: named[-1] for kind, named in trials(rules, 60.0, NOTHING).items()}
    changes = {kind: changed_settings(kind, rules, one.rules) for kind, one in strictest.items()}
    file = tmp_path_factory.mktemp("pasted") / "router.toml"
    head = f'[services."{service}"]\nactive = {{ version = "v1", endpoints = ["http://127.0.0.1:9"] }}\n\n'
    file.write_text(head + settings(service, changes))
    read = load(file).services[service].rules
    for kind, one in strictest.items():
        for name in changes[kind]:
            assert getattr(getattr(read, kind), name) == getattr(getattr(one.rules, kind), name)
    assert tomllib.loads(settings(service, changes))["services"][service]["rules"].keys() == changes.keys()


def test_nothing_to_change_is_nothing_to_paste() -> None:
    assert settings("svc", {"error_rate": {}, "latency": {}}) == ""


def test_rules_that_only_observe_show_recorded_alarms() -> None:
    story = (
        Recording()
        .play(100)
        .play(20, failing="error_rate! latency")
        .play(30, failing="error_rate hard_failure.errors!")
    )
    story.play(60).play(10, failing="error_rate!").play(3_000).play(10, failing="error_rate! hard_failure.hang!")
    actions = {"error_rate": "observe", "hard_failure": "rollback", "latency": "ask"}
    found = recorded_alarms(story.rows, actions)  # type: ignore[arg-type]
    times = [((one["at_ms"] - WALL_MS) / 1000, (one["until_ms"] - WALL_MS) / 1000) for one in found]
    assert [one["trigger"] for one in found] == ["error_rate", "error_rate"]
    assert times == [(100.0, 220.0), (3_220.0, 3_230.0)]


def test_a_slow_decay_is_seen_sooner_by_a_stricter_rule() -> None:
    """From rows to the proposal: a person rolled back after 20 minutes of 4 %, which the present rule never saw."""
    story = Recording().play(2 * DAY_S / 20, per_s=20.0, every_s=10.0)
    begun_s = story.now_s
    story.play(1_200, per_s=20.0, faults=0.04)
    named = trials(Rules(), 120.0, NOTHING)["error_rate"]
    replay(story.rows, named, lambda at_ms: None)
    happened = [rollback(story.now_s)]
    found = [match_rollbacks(one, happened) for one in named]
    assert [len(one.caught) for one in found] == [0, 0, 1, 1, 1]
    assert found[2].leads_s[0] < found[3].leads_s[0] <= story.now_s - begun_s
    chosen, _ = choose(found, 30.0, 1.0)
    assert chosen.trial.name in ("4 × as strict", "10 × as strict")
    plain = as_document(chosen, Rules())
    assert plain["settings"]["rate_floor"] in (0.005, 0.002)
    assert (plain["caught"], plain["false"], plain["false_per_month"]) == ([0], 0, 0.0)
    assert asdict(replace(ErrorRateRule(), **plain["settings"]))["rate_floor"] == plain["settings"]["rate_floor"]
