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
    """Failing requests. They are kept in memory for the reports of incidents. After a rollback they become regression
    cases that the next version has to pass. Credentials are never kept."""

    capture: bool = True
    """Capture failing requests, for cases and for the reports of incidents."""
    bodies: bool = False
    """Keep bodies."""
    body_bytes_max: Annotated[int, Field(ge=1, le=192 * 1024)] = 64 * 1024
    """A request with a larger body is kept without it, and cannot be sent again."""
    headers: Annotated[list[str], Field(max_length=64)] = ["accept", "content-type", "traceparent", "x-request-id"]
    """Header fields that are kept, beside those without which a body cannot be read, which are always kept: Content-Type,
    Content-Encoding, Inference-Header-Content-Length, ce-* of CloudEvents and others (docs/features/cases.md). All others are
    dropped. Fields with credentials are refused."""
    query: Rules = []
    """Query parameters whose values are kept. The values of all others are redacted."""
    redact_paths: Rules = []
    """Places in JSON bodies that are redacted before anything reaches the disk, as JSON pointers with wildcards:
    "/user/cards/*/number", "/**/email"."""
    redact_patterns: Rules = []
    """Regular expressions. Matching text anywhere in a body or target is redacted before anything reaches the disk. A search of
    one text has 50 ms of CPU time; after that the whole text is redacted."""
    freeze_window_s: Seconds = 300.0
    """Failures in this time before a rollback become cases."""
    cases_max: Count = 200
    """Cases that are kept."""
    bytes_max: Bytes = 16 << 20
    """Size of all cases together."""
    expire_after_s: Seconds = 86_400.0 * 30
    """A case is deleted after this time."""
    on_promote: Literal["require", "report", "off"] = "require"
    """Effect of failing cases on a candidate's promotion. "require": it is refused; "report": they are reported; "off":
    cases are not run."""
    check_concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Cases that a check sends at the same time."""
    check_timeout_s: Seconds = 30.0
    """Time limit of one case."""
    latency_ms_max: Annotated[float, Field(gt=0)] | None = None
    """Limit for the first byte of a case. Unset: rules.latency.slo_ms, if that is set."""
    equal: bool = False
    """A response has to equal the recorded one, if there is one."""
    relative_tolerance: Share = 1e-3
    """With `equal`: relative difference of two numbers that count as equal."""
    absolute_tolerance: Annotated[float, Field(ge=0)] = 1e-6
    """With `equal`: absolute difference of two numbers that count as equal."""
    ignore_paths: Rules = []
    """With `equal`: places (JSON pointers) that are not compared."""

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
