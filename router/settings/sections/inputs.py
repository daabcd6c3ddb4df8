"""Whether the requests are still those that the model knows. Off by default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from router.rollout import json_pointer
from router.rollout.judge.rules import Action
from router.rollout.quality import reference
from router.rollout.quality.drift import DriftRules
from router.settings.sections.values import Bytes, Count, Seconds, Strict

Share = Annotated[float, Field(gt=0, le=1)]


class InputField(Strict):
    """A place in requests (a JSON pointer; `*`: each member) and what it holds."""

    pointer: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Literal["number", "category", "any", "auto"] = "auto"

    @field_validator("pointer")
    @classmethod
    def _pointed(cls, value: str) -> str:
        json_pointer.parse(value)
        return value


class InputSettings(Strict):
    """A sample of the requests that [validation] covers, against those of the time in which the accepted version did well."""

    fields: Annotated[list[InputField], Field(max_length=reference.FIELDS_MAX)] = []
    learn_fields: bool = False
    """Find the fields in requests, where none are named."""
    action: Action = "observe"
    """When they have drifted. That is no fault of the version, and the one to go back to gets the same requests."""
    samples_per_s: Annotated[float, Field(gt=0, le=50)] = 2.0
    """At most, per worker."""
    body_bytes_max: Annotated[Bytes, Field(le=128 * 1024)] = 32 * 1024
    """Of larger requests none is a sample."""
    learn_requests: Annotated[Count, Field(ge=20, le=100_000)] = 1000
    learn_s: Seconds = 600.0
    """A reference rests on so many samples, and so much time."""
    share_min: Share = 0.05
    """A share of requests below is no drift, however sure."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.999
    window_s: Seconds = 300.0
    requests_min: Count = 100
    sustained_s: Seconds = 60.0

    @field_validator("fields")
    @classmethod
    def _once(cls, value: list[InputField]) -> list[InputField]:
        names = [known.pointer for known in value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice!r} is there twice")
        return value

    @property
    def wanted(self) -> bool:
        """Whether anything is looked at."""
        return bool(self.fields) or self.learn_fields

    def plain(self) -> DriftRules:
        """Return it as the judgement knows it."""
        return DriftRules(
            fields=tuple(reference.field(known.pointer, known.kind) for known in self.fields),
            learn_fields=self.learn_fields,
            learn_samples=self.learn_requests,
            learn_s=self.learn_s,
            share_min=self.share_min,
            confidence=self.confidence,
            window_s=self.window_s,
            samples_min=self.requests_min,
            sustained_s=self.sustained_s,
        )
