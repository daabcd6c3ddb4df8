"""The demo's model: a small feed-forward network in plain Python that scores card payments for fraud.

Its weights are in this folder, one JSON file per version, written by `router.demo.training`. `v1` is a logistic regression (no
hidden layer), `v2` has one hidden layer of tanh units.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

FEATURES: Final = ("amount", "hour", "distance", "account_age")
"""The client scales each feature to about -1 to 1."""
VERSIONS: Final = ("v1", "v2")


@dataclass(frozen=True, slots=True)
class Layer:
    """`weights[j][i]` leads from input `i` to unit `j`; `biases[j]` belongs to unit `j`."""

    weights: tuple[tuple[float, ...], ...]
    biases: tuple[float, ...]

    def sums(self, inputs: Sequence[float]) -> list[float]:
        """Return each unit's weighted sum."""
        return [
            bias + sum(weight * value for weight, value in zip(row, inputs, strict=True))
            for row, bias in zip(self.weights, self.biases, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Scorer:
    """Hidden layers are tanh, the last one is a single logistic unit. `accuracy` was measured on held-out rows."""

    version: str
    layers: tuple[Layer, ...]
    accuracy: float

    def score(self, row: Sequence[float]) -> float:
        """Return the probability of fraud for one payment, `len(FEATURES)` numbers."""
        values = row
        for layer in self.layers[:-1]:
            values = [math.tanh(value) for value in layer.sums(values)]
        return logistic(self.layers[-1].sums(values)[0])


def logistic(value: float) -> float:
    """Return 1 / (1 + e^-value) without overflow."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    grown = math.exp(value)
    return grown / (1.0 + grown)


def load(version: str) -> Scorer:
    """Return the model whose weights are in `weights_VERSION.json`."""
    document = json.loads(files("router.demo").joinpath(f"weights_{version}.json").read_text("utf-8"))
    layers = tuple(
        Layer(tuple(tuple(row) for row in layer["weights"]), tuple(layer["biases"])) for layer in document["layers"]
    )
    return Scorer(version, layers, document["accuracy"])
