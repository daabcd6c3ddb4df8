"""Regression cases of a service: which parts of failed requests are kept, for how long, and how a new version is checked."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from router.rollout import json_pointer
from router.rollout.cases.case import NEVER_KEPT
from router.rollout.cases.redaction import redaction
from router.settings.sections.values import Bytes, Count, Seconds, Strict

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
Rules = Annotated[list[str], Field(max_length=64)]
Share = Annotated[float, Field(ge=0, le=1)]


class Cases(Strict):
    """Bodies are kept only if `bodies` is set, header fields and values of a query only if they are named."""

    capture: bool = True
    """Whether failing requests are captured, for cases and for the reports of incidents."""
    bodies: bool = False
    body_bytes_max: Annotated[int, Field(ge=1, le=192 * 1024)] = 64 * 1024
    """A request with a larger body is kept without it, and cannot be sent again."""
    headers: Annotated[list[str], Field(max_length=64)] = ["accept", "content-type", "traceparent", "x-request-id"]
    query: Rules = []
    """Parameters whose values are kept; the values of all others are redacted."""
    redact_paths: Rules = []
    """Places in JSON bodies that are redacted, as pointers: `/user/cards/*/number`, `/**/email`."""
    redact_patterns: Rules = []
    """Regular expressions; matching text anywhere in a body or target is redacted."""
    freeze_window_s: Seconds = 300.0
    """Failures in this time before a rollback become cases."""
    cases_max: Count = 200
    bytes_max: Bytes = 16 << 20
    expire_after_s: Seconds = 86_400.0 * 30
    on_promote: Literal["require", "report", "off"] = "require"
    """Effect of failing cases on a candidate's promotion: it is refused; they are reported; cases are not run."""
    check_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    check_timeout_s: Seconds = 30.0
    """Time limit of one case."""
    latency_ms_max: Annotated[float, Field(gt=0)] | None = None
    """Limit for the first byte; unset: rules.latency.slo_ms, if there is one."""
    equal: bool = False
    """Whether a response has to equal the recorded one, if there is one."""
    relative_tolerance: Share = 1e-3
    absolute_tolerance: Annotated[float, Field(ge=0)] = 1e-6
    ignore_paths: Rules = []

    @field_validator("headers")
    @classmethod
    def _harmless(cls, value: list[str]) -> list[str]:
        for name in value:
            if not _FIELD_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header field")
            if name.lower() in NEVER_KEPT:
                raise ValueError(f"{name!r} holds credentials, which are never kept: leave it out")
        return [name.lower() for name in value]

    @field_validator("redact_paths", "ignore_paths")
    @classmethod
    def _paths(cls, value: list[str]) -> list[str]:
        for path in value:
            json_pointer.parse(path, any_depth=True)
        return value

    @field_validator("redact_patterns")
    @classmethod
    def _patterns(cls, value: list[str]) -> list[str]:
        redaction([], value, [])
        return value
