"""Trains the demo's two models, reproducibly: `python -m router.demo.training` writes the weight files again.

The data are drawn from a seeded generator: payments with four features, fraud by a rule that is not linear (large amounts at
night, or far away on a young account), with some labels flipped.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Final

from router.demo.scorer import FEATURES, VERSIONS, Layer, Scorer, logistic

Row = tuple[tuple[float, ...], float]

HIDDEN_UNITS: Final = {"v1": 0, "v2": 6}
_ROWS: Final = 1200
_HELD_OUT: Final = 300
_EPOCHS: Final = 30
_STEP: Final = 0.05
_LABEL_NOISE: Final = 0.03
_DIGITS: Final = 6


def payments(seed: int) -> list[Row]:
    """Return `_ROWS` payments with their label, 1 for fraud."""
    draw = random.Random(seed)
    rows: list[Row] = []
    for _ in range(_ROWS):
        amount, hour, distance, age = (draw.uniform(-1.0, 1.0) for _ in FEATURES)
        fraud = (amount > 0.1 and hour < -0.2) or (distance > 0.2 and age < 0.1)
        rows.append(((amount, hour, distance, age), float(fraud != (draw.random() < _LABEL_NOISE))))
    return rows


def train(version: str) -> Scorer:
    """Return the trained model of `version`; gradient descent row by row on the cross entropy."""
    rows = payments(seed=20)
    learn, held_out = rows[_HELD_OUT:], rows[:_HELD_OUT]
    draw = random.Random(version)
    units = HIDDEN_UNITS[version]
    layers = [_fresh_layer(draw, len(FEATURES), units), _fresh_layer(draw, units, 1)] if units else []
    layers = layers or [_fresh_layer(draw, len(FEATURES), 1)]
    for _ in range(_EPOCHS):
        draw.shuffle(learn)
        for features, label in learn:
            layers = _descend(layers, features, label)
    rounded = tuple(_rounded(layer) for layer in layers)
    model = Scorer(version, rounded, 0.0)
    right = sum((model.score(features) > 0.5) == (label > 0.5) for features, label in held_out)
    return Scorer(version, rounded, round(right / _HELD_OUT, 4))


def _fresh_layer(draw: random.Random, inputs: int, units: int) -> Layer:
    reach = 1.0 / math.sqrt(inputs)
    weights = tuple(tuple(draw.uniform(-reach, reach) for _ in range(inputs)) for _ in range(units))
    return Layer(weights, (0.0,) * units)


def _descend(layers: list[Layer], features: tuple[float, ...], label: float) -> list[Layer]:
    hidden = [math.tanh(value) for value in layers[0].sums(features)] if len(layers) == 2 else list(features)
    last = layers[-1]
    error = logistic(last.sums(hidden)[0]) - label
    stepped = [_stepped(last, [error], hidden)]
    if len(layers) == 2:
        errors = [error * weight * (1.0 - value * value) for weight, value in zip(last.weights[0], hidden, strict=True)]
        stepped.insert(0, _stepped(layers[0], errors, list(features)))
    return stepped


def _stepped(layer: Layer, errors: list[float], inputs: list[float]) -> Layer:
    return Layer(
        tuple(
            tuple(weight - _STEP * error * value for weight, value in zip(row, inputs, strict=True))
            for row, error in zip(layer.weights, errors, strict=True)
        ),
        tuple(bias - _STEP * error for bias, error in zip(layer.biases, errors, strict=True)),
    )


def _rounded(layer: Layer) -> Layer:
    return Layer(
        tuple(tuple(round(weight, _DIGITS) for weight in row) for row in layer.weights),
        tuple(round(bias, _DIGITS) for bias in layer.biases),
    )


def document(model: Scorer) -> str:
    """Return the text of a model's weight file."""
    layers = [{"weights": layer.weights, "biases": layer.biases} for layer in model.layers]
    return json.dumps({"features": FEATURES, "accuracy": model.accuracy, "layers": layers}, indent=1) + "\n"


if __name__ == "__main__":
    for name in VERSIONS:
        Path(__file__).with_name(f"weights_{name}.json").write_text(document(train(name)), "utf-8")
