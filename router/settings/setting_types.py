"""The types of the settings, as their models declare them: the alternatives of a value, and the members of a table."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

LISTS: Final = (list, tuple)
Kinds = tuple[Any, ...]


def alternatives(annotation: Any) -> Kinds:
    """Return the alternatives of an annotation, without `None` and without constraints."""
    return tuple(_alternatives(annotation))


def _alternatives(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        annotation = annotation.__value__
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _alternatives(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _alternatives(part)
    elif annotation is not type(None):
        yield annotation


@cache
def members(kind: Any) -> dict[str, Any]:
    """Return the members of a table with their annotations; empty for any other kind."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {field.name: hints[field.name] for field in fields(kind)}
    return {}


def is_list(kind: Any) -> bool:
    """Return whether values of the kind are lists."""
    return typing.get_origin(kind) in LISTS


def is_literal(kind: Any) -> bool:
    """Return whether the kind lists its values."""
    return typing.get_origin(kind) is typing.Literal


def is_map(kind: Any) -> bool:
    """Return whether values of the kind are tables whose keys are free, as the names of services are."""
    return typing.get_origin(kind) is dict


def inner(above: Kinds, part: int | str) -> Kinds:
    """Return the kinds of a member or of an item; empty if there is none."""
    found: list[Any] = []
    for kind in above:
        if is_map(kind):
            found += alternatives(typing.get_args(kind)[1])
        elif is_list(kind) and isinstance(part, int):
            found += alternatives(typing.get_args(kind)[0])
        elif part in members(kind):
            found += alternatives(members(kind)[str(part)])
    return tuple(found)
