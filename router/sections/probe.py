"""How a target is asked whether it works."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from router.sections.values import Count, Seconds, Strict


class Probe(Strict):
    """How a target is asked whether it works. With a `body` it is an inference: it proves more than a liveness page."""

    path: str = "/"
    method: Literal["GET", "HEAD", "POST"] = "GET"
    body: str | None = None
    content_type: str = "application/json"
    expect_status_below: Annotated[int, Field(ge=100, le=600)] = 500
    expect_text: str | None = None
    every_s: Seconds = 1.0
    probe_timeout_s: Seconds = 2.0
    warmup_probes: Count = 5
    recover_probes: Count = 30

    @field_validator("path")
    @classmethod
    def _origin_form(cls, value: str) -> str:
        if not re.fullmatch(r"/[!-~]*", value):
            raise ValueError(f'{value!r} is not a path: write it as /health (or probe = "none")')
        return value

    @property
    def inference(self) -> bool:
        """Whether this probe makes the model work."""
        return self.method == "POST"
