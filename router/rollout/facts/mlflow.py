"""Facts about the updates of MLflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from router.rollout.facts.fact import ALWAYS, Document, Fact, Number


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowFact(Fact):
    """The end of the update `token` of the registered model `model`."""

    version: str
    token: str
    model: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowUpdated(MlflowFact):
    """MLflow has received the tags; `alias`: what became of the alias."""

    TYPE: ClassVar[str] = "mlflow_told"
    tags: Document = field(default_factory=dict, metadata=ALWAYS)
    alias: str = field(default="", metadata=ALWAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowGivenUp(MlflowFact):
    """MLflow could not be updated."""

    TYPE: ClassVar[str] = "mlflow_given_up"
    reason: str = field(default="", metadata=ALWAYS)
    after_s: Number = field(default=0.0, metadata=ALWAYS)
