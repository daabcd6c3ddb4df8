"""Validation of a service's requests and responses. Off by default."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from router.rollout import json_pointer
from router.rollout.quality.validators import Schema
from router.settings.sections.values import Bytes, FilePath, Strict

SCHEMA_BYTES_MAX = 256 * 1024
Pointer = Annotated[str, Field(max_length=500)]
Share = Annotated[float, Field(gt=0, le=1)]
Checked = Annotated[Bytes, Field(le=1 << 24)]
"""Size limit of a checked body: the check runs in one piece and blocks the worker meanwhile."""


class LabelIn(Strict):
    """The value at `pointer` in the response must be one of `allowed`."""

    pointer: Pointer
    """A place in the response's JSON body."""
    allowed: Annotated[list[bool | int | float | str], Field(min_length=1, max_length=10_000)]
    """The allowed values."""

    @field_validator("pointer")
    @classmethod
    def _pointed(cls, value: str) -> str:
        json_pointer.parse(value)
        return value


class ValidationSettings(Strict):
    """Validation of requests and responses. Off unless a check is set. An invalid request is answered 422. A complete
    2xx response that is invalid ends as `invalid`, a fault of the version. Bodies that are larger, compressed or not
    JSON are not checked, but counted."""

    methods: Annotated[list[Literal["POST", "PUT", "PATCH", "GET"]], Field(min_length=1)] = ["POST"]
    """Methods of the requests that are checked."""
    paths: Annotated[list[str], Field(max_length=64)] = []
    """Path prefixes, at a segment's end. Empty: every path of the service."""
    request_schema: FilePath | None = None
    """A file with a JSON Schema of the request body, or its text. It needs the extra `rollback-router[schema]`. The
    file is read together with the settings, and again at SIGHUP."""
    request_bytes_max: Checked = 256 * 1024
    """A larger request body is forwarded unchecked, and counted."""
    request_bytes_held_max: Bytes = 64 << 20
    """Size of all bodies that a worker buffers until they are complete. Beyond it bodies are forwarded unchecked."""
    response_not_empty: bool = False
    """A response must have a body."""
    response_json: bool = False
    """A response must be JSON."""
    response_schema: FilePath | None = None
    """A file with a JSON Schema of the response body, or its text."""
    response_finite: Annotated[list[Pointer], Field(max_length=64)] = []
    """Places of finite numbers (JSON pointers; "*": each member; "": the whole). NaN, Infinity and null are invalid
    there."""
    response_label_in: Annotated[list[LabelIn], Field(max_length=64)] = []
    """Places that must hold one of the allowed values."""
    response_share: Share = 1.0
    """Share of the responses that are checked. After an invalid response all responses of that version are checked for
    ten seconds."""
    response_bytes_max: Checked = 256 * 1024
    """A larger response is not checked, but counted."""
    stream_end: Annotated[str, Field(pattern=r"^[!-~]([ -~]{0,62}[!-~])?$")] | None = None
    """The data of the last event of an event stream, for example [DONE]. "auto" knows the ends of the protocols of OpenAI,
    Anthropic and Ollama on their routes, and checks no other route."""

    @field_validator("paths")
    @classmethod
    def _prefixes(cls, value: list[str]) -> list[str]:
        for path in value:
            if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
                raise ValueError(f"{path!r} must begin with / and hold visible ASCII only")
        return value

    @field_validator("response_finite")
    @classmethod
    def _pointed(cls, value: list[str]) -> list[str]:
        for text in value:
            json_pointer.parse(text)
        return value

    @field_validator("request_schema", "response_schema")
    @classmethod
    def _schema(cls, value: str | None) -> str | None:
        """Replace the file by its text, so that every process uses the same schema even if the file changes."""
        if value is None:
            return None
        text = value if value.lstrip().startswith("{") else _read(value)
        try:
            Schema(text)
        except ValueError as error:
            raise ValueError(str(error)) from None
        return text.strip()

    @model_validator(mode="after")
    def _one_place(self) -> ValidationSettings:
        if self.request_bytes_max > self.request_bytes_held_max:
            raise ValueError(
                f"request_bytes_max ({self.request_bytes_max}) exceeds request_bytes_held_max "
                f"({self.request_bytes_held_max}), so no such body could be held: raise the latter"
            )
        return self


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > SCHEMA_BYTES_MAX:
                raise ValueError(f"has {size} bytes, a schema at most {SCHEMA_BYTES_MAX}")
            return file.read(SCHEMA_BYTES_MAX).decode()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8, so no JSON") from None
