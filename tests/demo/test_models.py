"""The demo's two small models: the weights are what the training gives, and an answer is what the weights say."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from router.demo import scorer, training
from router.demo.language_model import LanguageModel
from router.demo.scorer import Layer, Scorer


@pytest.mark.parametrize("version", scorer.VERSIONS)
def test_committed_weights_are_what_the_training_gives(version: str) -> None:
    committed = json.loads(files("router.demo").joinpath(f"weights_{version}.json").read_text("utf-8"))
    trained = json.loads(training.document(training.train(version)))
    assert trained["features"] == committed["features"] == list(scorer.FEATURES)
    assert trained["accuracy"] == pytest.approx(committed["accuracy"], abs=0.01)
    for fresh, kept in zip(trained["layers"], committed["layers"], strict=True):
        assert fresh["biases"] == pytest.approx(kept["biases"], abs=1e-3)
        for fresh_row, kept_row in zip(fresh["weights"], kept["weights"], strict=True):
            assert fresh_row == pytest.approx(kept_row, abs=1e-3)


def test_a_score_is_the_logistic_of_the_weighted_sums() -> None:
    hidden = Layer(weights=((1.0, 0.0), (0.0, 2.0)), biases=(0.0, 0.0))
    last = Layer(weights=((3.0, -1.0),), biases=(0.5,))
    assert Scorer("v", (hidden, last), 1.0).score((0.0, 0.0)) == pytest.approx(0.6224593312)
    assert Scorer("v", (last,), 1.0).score((1.0, 3.5)) == pytest.approx(0.5)


@pytest.mark.parametrize("value", [-800.0, 800.0], ids=["far below", "far above"])
def test_the_logistic_function_does_not_overflow(value: float) -> None:
    assert scorer.logistic(value) == pytest.approx(float(value > 0))


def test_the_new_version_is_the_better_one() -> None:
    assert scorer.load("v2").accuracy > scorer.load("v1").accuracy


def test_the_chatter_says_the_same_to_the_same_prompt_and_its_versions_differ() -> None:
    old, new = ("".join(LanguageModel(version).tokens("hello", 12)) for version in ("v1", "v2"))
    assert old == "".join(LanguageModel("v1").tokens("hello", 12))
    assert old != new
    assert len(old.split()) == len(new.split()) == 12
