"""Requests that are not those of the good time are told, with numbers, and only when it is sure and lasts."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from router.rollout.quality.drift import REJECTED, DriftContext, DriftJudge, DriftRules, DriftStatus
from router.rollout.quality.reference import field
from router.rollout.units import SECOND_NS
from tests.texts import golden

RULES = DriftRules(
    (field("/amount", "number"), field("/country", "category")), learn_samples=200, learn_s=20.0, sustained_s=10.0
)
WELL = DriftContext("v1", 1, well=True)


class DriftHarness:
    """A judge, and requests that pass by it: ten a second."""

    def __init__(self, rules: DriftRules = RULES) -> None:
        self.judge = DriftJudge(rules)
        self.now_ns = 10**12
        self.opinion = DriftStatus()
        self._random = Random(7)

    def pass_by(self, seconds: int, now: DriftContext = WELL, **changed: Any) -> list[DriftStatus]:
        """Let requests pass; a changed member may be a function of a random number, or "missing"."""
        said = []
        for _ in range(seconds):
            self.now_ns += SECOND_NS
            bodies = [json.dumps(self._request(changed)).encode() for _ in range(10)]
            self.opinion = self.judge.take(bodies, now, self.now_ns)
            said.append(self.opinion)
        return said

    def _request(self, changed: dict[str, Any]) -> dict[str, Any]:
        random = self._random
        request = {"amount": random.uniform(0, 100), "country": random.choice(["de", "fr", "nl"])}
        for name, value in changed.items():
            request[name] = value(random.random()) if callable(value) else value
        return {name: value for name, value in request.items() if value != "missing"}


def learned() -> DriftHarness:
    harness = DriftHarness()
    harness.pass_by(21)
    assert harness.judge.reference is not None
    return harness


def test_a_reference_is_learned_and_returned_once() -> None:
    harness = DriftHarness()
    said = harness.pass_by(60)
    result = [opinion.reference for opinion in said if opinion.reference is not None]
    assert [reference.version for reference in result] == ["v1"]
    assert said[5].reason == golden("drift.unlearned", learned=60, seconds=20)
    assert harness.opinion.state == "pass"


def test_nothing_is_learned_of_a_version_that_is_not_well() -> None:
    harness = DriftHarness()
    harness.pass_by(60, replace(WELL, well=False))
    assert (harness.judge.reference, harness.opinion.state, harness.opinion.learned) == (None, "inconclusive", 0)


@pytest.mark.parametrize(
    ("changed", "field_", "what", "share"),
    [
        pytest.param({"amount": lambda r: 500 if r < 0.3 else 50}, "/amount", "out", 0.3, id="range"),
        pytest.param({"country": lambda r: "us" if r < 0.3 else "de"}, "/country", "out", 0.3, id="category"),
        pytest.param({"country": lambda r: "missing" if r < 0.3 else "de"}, "/country", "missing", 0.3, id="missing"),
        pytest.param({"amount": lambda r: "12" if r < 0.3 else 50}, "/amount", "out", 0.3, id="kind"),
    ],
)
def test_drift_has_its_numbers(changed: dict[str, Any], field_: str, what: str, share: float) -> None:
    harness = learned()
    said = harness.pass_by(60, **changed)
    assert harness.opinion.drifted
    worst = harness.opinion.worst
    assert worst is not None
    assert (worst.field, worst.what) == (field_, what)
    assert worst.share == pytest.approx(share, abs=0.08)
    assert worst.share > worst.limit >= 0.05
    first = next(number for number, opinion in enumerate(said) if opinion.state == "fail")
    drifted = next(number for number, opinion in enumerate(said) if opinion.drifted)
    assert drifted - first >= RULES.sustained_s


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({}, id="the same"),
        pytest.param({"amount": lambda r: 500 if r < 0.02 else 50}, id="two per cent"),
        pytest.param({"further": lambda r: r}, id="a field that nobody asked about"),
    ],
)
def test_what_is_no_drift(changed: dict[str, Any]) -> None:
    harness = learned()
    said = harness.pass_by(400, **changed)
    assert {opinion.state for opinion in said[20:]} == {"pass"}


def test_it_is_over_when_it_is_over() -> None:
    harness = learned()
    harness.pass_by(60, country="us")
    assert harness.opinion.drifted
    harness.pass_by(320)
    assert (harness.opinion.state, harness.opinion.drifted) == ("pass", False)


def test_too_few_say_nothing() -> None:
    harness = DriftHarness(replace(RULES, samples_min=1000))
    harness.pass_by(21)
    harness.pass_by(60, country="us")
    assert harness.opinion.state == "inconclusive"
    assert harness.opinion.reason == golden("drift.too_few")


def test_another_active_version_is_judged_anew_and_learned_when_it_is_accepted() -> None:
    harness = learned()
    harness.pass_by(60, country="us")
    harness.pass_by(5, DriftContext("v2", 2, well=False), country="us")
    assert harness.opinion.state == "inconclusive", "fifty requests since"
    harness.pass_by(60, DriftContext("v2", 2, well=True), country="us")
    assert harness.opinion.drifted, "what has drifted is no good time"
    assert harness.judge.reference is not None
    assert harness.judge.reference.version == "v1"
    harness.pass_by(360, DriftContext("v2", 2, well=True))
    assert harness.judge.reference.version == "v2"


def test_an_operator_may_have_the_reference_relearned() -> None:
    harness = learned()
    harness.pass_by(60, country="us")
    harness.judge.relearn()
    harness.pass_by(60, country="us")
    assert (harness.opinion.state, harness.opinion.drifted) == ("pass", False)


def test_what_the_schema_refuses_drifts_too() -> None:
    harness = learned()
    for seconds in range(30):
        harness.pass_by(1, replace(WELL, seen=100 * seconds, refused=20 * seconds))
    worst = harness.opinion.worst
    assert worst is not None
    assert (worst.field, worst.what, worst.samples) == (REJECTED, "rejected", 2900)
    assert str(worst).startswith("the schema refuses 20.0% of 2900 requests (limit 5.0%")


def test_what_is_no_json_is_counted_and_passed_over() -> None:
    harness = learned()
    opinion = harness.judge.take([b"{", b"\xff"], WELL, harness.now_ns + 1)
    assert (opinion.unreadable, opinion.state) == (2, "inconclusive")


def test_other_fields_are_learned_anew() -> None:
    harness = learned()
    harness.judge.reconfigure(replace(RULES, fields=(field("/amount", "number"),)))
    harness.pass_by(1)
    assert harness.opinion.reason.startswith("there is no reference yet")
    harness.pass_by(30)
    assert harness.judge.reference is not None
    assert harness.judge.reference.profiles.keys() == {"/amount"}


def test_fields_may_be_learned_from_requests() -> None:
    harness = DriftHarness(replace(RULES, fields=(), learn_fields=True))
    harness.pass_by(21)
    assert harness.judge.reference is not None
    assert {name: profile.kind for name, profile in harness.judge.reference.profiles.items()} == {
        "/amount": "number",
        "/country": "category",
    }


def test_without_rules_drift_detection_is_off() -> None:
    harness = DriftHarness(DriftRules())
    harness.pass_by(3)
    assert harness.opinion == DriftStatus()
