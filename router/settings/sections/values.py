"""Types of values that the sections share: durations, counts, sizes, labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,62}")
VERSION_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+\-]{0,127}")

Seconds = Annotated[float, Field(gt=0, le=86_400 * 31)]
Delay = Annotated[float, Field(ge=0, le=3600)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Bytes = Annotated[int, Field(ge=1, le=1 << 50)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]


class Strict(BaseModel):
    """A section: an unknown member is an error, and instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Breach(NamedTuple):
    """A rule about several members is broken: the `place` to correct, and what is wrong with it.

    `needs` are the places that the rule has read. If one of them is wrong itself, the rule says nothing.
    """

    place: tuple[str | int, ...]
    text: str
    needs: tuple[tuple[str | int, ...], ...] = ()


def refuse(title: str, breaches: Iterable[Breach]) -> None:
    """Raise ValidationError with all of them; do nothing without any. Places are relative to the model."""
    found = [
        InitErrorDetails(
            type=PydanticCustomError("breach", "{text}", {"text": text, "needs": needs, "depth": len(place)}),
            loc=place,
            input=None,
        )
        for place, text, needs in breaches
    ]
    if found:
        raise ValidationError.from_exception_data(title, found)


def version_label(value: str) -> str:
    """Return `value` if it is a valid version label; raise ValueError that explains the form."""
    if not VERSION_LABEL.fullmatch(value):
        raise ValueError(f"version {value!r}: use letters, digits and . _ : / @ + -, at most 128, for example fraud-v7")
    return value
