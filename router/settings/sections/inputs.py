"""Detection of drift in the requests' inputs. Off by default."""

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
    """A place in requests (a JSON pointer; `*`: each member) and the kind of its values."""

    pointer: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Literal["number", "category", "any", "auto"] = "auto"

    @field_validator("pointer")
    @classmethod
    def _pointed(cls, value: str) -> str:
        json_pointer.parse(value)
        return value


class InputSettings(Strict):
    """Compares a sample of the requests that [validation] covers with a reference: requests that an accepted version handled
    well.
    """

    fields: Annotated[list[InputField], Field(max_length=reference.FIELDS_MAX)] = []
    learn_fields: bool = False
    """Find the fields in the requests if none are named."""
    action: Action = "observe"
    """Action at a drift. A drift is no fault of the version: after a rollback the standby gets the same requests."""
    samples_per_s: Annotated[float, Field(gt=0, le=50)] = 2.0
    """Largest rate of samples per worker."""
    body_bytes_max: Annotated[Bytes, Field(le=128 * 1024)] = 32 * 1024
    """Requests with a larger body are not sampled."""
    learn_requests: Annotated[Count, Field(ge=20, le=100_000)] = 1000
    learn_s: Seconds = 600.0
    """Samples and time that a reference needs."""
    share_min: Share = 0.05
    """A smaller share of differing requests is no drift, even if it is significant."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.999
    window_s: Seconds = 300.0
    requests_min: Count = 100
    sustained_s: Seconds = 60.0

    @field_validator("fields")
    @classmethod
    def _once(cls, value: list[InputField]) -> list[InputField]:
        names = [field.pointer for field in value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice!r} is there twice")
        return value

    @property
    def enabled(self) -> bool:
        """Whether any inputs are watched."""
        return bool(self.fields) or self.learn_fields

    def as_rules(self) -> DriftRules:
        """Return the settings as the value type of `rollout.quality`."""
        return DriftRules(
            fields=tuple(reference.field(field.pointer, field.kind) for field in self.fields),
            learn_fields=self.learn_fields,
            learn_samples=self.learn_requests,
            learn_s=self.learn_s,
            share_min=self.share_min,
            confidence=self.confidence,
            window_s=self.window_s,
            samples_min=self.requests_min,
            sustained_s=self.sustained_s,
        )
