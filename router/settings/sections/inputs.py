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
    """A place in the request's JSON body."""
    kind: Literal["number", "category", "any", "auto"] = "auto"
    """Kind of the values. "any" checks only presence. "auto" is learned."""

    @field_validator("pointer")
    @classmethod
    def _pointed(cls, value: str) -> str:
        json_pointer.parse(value)
        return value


class InputSettings(Strict):
    """Detection of input drift: a sample of the requests that [services.NAME.validation] covers is compared with a
    reference, the requests that an accepted version handled well. Off without fields. Drift raises the alarm
    `input_drift`."""

    fields: Annotated[list[InputField], Field(max_length=reference.FIELDS_MAX)] = []
    """Places in requests with the kind of their values: "number", "category", "any" or "auto"."""
    learn_fields: bool = False
    """Find the fields in the requests if none are named."""
    action: Action = "observe"
    """Further action at a drift: "observe" none, "ask" an operator, or "rollback". A drift is no fault of the version:
    after a rollback the standby gets the same requests."""
    samples_per_s: Annotated[float, Field(gt=0, le=50)] = 2.0
    """Largest rate of samples per worker."""
    body_bytes_max: Annotated[Bytes, Field(le=128 * 1024)] = 32 * 1024
    """Requests with a larger body are not sampled."""
    learn_requests: Annotated[Count, Field(ge=20, le=100_000)] = 1000
    """Samples that a reference needs."""
    learn_s: Seconds = 600.0
    """Time that a reference needs."""
    share_min: Share = 0.05
    """A smaller share of differing requests is no drift, even if it is significant."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.999
    """Confidence with which the share of differing requests is above `share_min` and above twice the usual share."""
    window_s: Seconds = 300.0
    """Time that is compared with the reference."""
    requests_min: Count = 100
    """With fewer samples in the window there is no drift."""
    sustained_s: Seconds = 60.0
    """A difference counts as drift after this time."""

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
