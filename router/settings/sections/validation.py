"""What requests and answers of a service must be. Off by default."""

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
"""A look at so many bytes is done in one piece, and the worker does nothing else meanwhile."""


class LabelIn(Strict):
    """What `pointer` names in the answer must be one of `allowed`."""

    pointer: Pointer
    allowed: Annotated[list[bool | int | float | str], Field(min_length=1, max_length=10_000)]

    @field_validator("pointer")
    @classmethod
    def _pointed(cls, value: str) -> str:
        json_pointer.parse(value)
        return value


class Validation(Strict):
    """Requests that are not what the model takes are answered 422; a complete 2xx that is no answer is a fault of the version."""

    methods: Annotated[list[Literal["POST", "PUT", "PATCH", "GET"]], Field(min_length=1)] = ["POST"]
    paths: Annotated[list[str], Field(max_length=64)] = []
    """Path prefixes, at a segment's end; empty: every path of the service."""
    request_schema: FilePath | None = None
    """A file with a JSON Schema, or its text. The file is read when the settings are, and again at SIGHUP."""
    request_bytes_max: Checked = 256 * 1024
    """A larger body passes unchecked, and is counted."""
    request_bytes_held_max: Bytes = 64 << 20
    """Of all bodies that a worker holds until they are whole; beyond it they pass unchecked."""
    response_not_empty: bool = False
    response_json: bool = False
    response_schema: FilePath | None = None
    response_finite: Annotated[list[Pointer], Field(max_length=64)] = []
    """Places that hold numbers (JSON pointers; `*`: each member; "": the whole): no NaN, no Infinity, no null among them."""
    response_label_in: Annotated[list[LabelIn], Field(max_length=64)] = []
    response_share: Share = 1.0
    """Of the answers that are checked. After one that is invalid all of that version are, for ten seconds."""
    response_bytes_max: Checked = 256 * 1024
    """A larger answer is not checked, and is counted."""
    stream_end: Annotated[str, Field(pattern=r"^[!-~]([ -~]{0,62}[!-~])?$")] | None = None
    """The data of the last event of an event stream, for example [DONE]."""

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
        """The file becomes its text here, so that every process is told the same, whatever becomes of the file."""
        if value is None:
            return None
        text = value if value.lstrip().startswith("{") else _read(value)
        try:
            Schema(text)
        except ValueError as error:
            raise ValueError(str(error)) from None
        return text.strip()

    @model_validator(mode="after")
    def _one_place(self) -> Validation:
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
