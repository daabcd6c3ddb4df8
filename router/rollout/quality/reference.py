"""The fields of requests that are looked at, what a request holds in them, and what all of them were like in a good time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from router.rollout import json_pointer
from router.rollout.json_pointer import MISSING, Pointer
from router.rollout.quality.field_profile import FieldLearner, FieldProfile, Kind, shape_of
from router.rollout.stats.window import SECOND_NS

VALUES_MAX: Final = 256
"""Of one field of one request; those behind are not looked at."""
FIELDS_MAX: Final = 32
DISCOVERED_FROM: Final = 20
"""Requests from which fields are learned."""
_DEPTH_MAX: Final = 4
_ELEMENTS_MAX: Final = 4
"""Elements of a list of objects that are fields of their own; of longer lists all are one."""


@dataclass(frozen=True, slots=True)
class Field:
    """A place in requests (a JSON pointer) and what is there."""

    name: str
    kind: Kind = "auto"
    place: Pointer = ()

    def values(self, document: Any) -> list[Any]:
        """Return what a request holds there, lists unfolded; nothing if anything of it is missing or null."""
        found: list[Any] = []
        for _, value in json_pointer.values(document, self.place):
            found.extend(islice(_unfolded(value, _DEPTH_MAX), VALUES_MAX - len(found)))
            if len(found) >= VALUES_MAX:
                break
        return [] if any(value is None or value is MISSING for value in found) else found


def _unfolded(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, list) and depth:
        for element in value:
            yield from _unfolded(element, depth - 1)
    else:
        yield value


def field(name: str, kind: Kind = "auto") -> Field:
    """Return the field; raise ValueError if `name` is no pointer."""
    return Field(name, kind, json_pointer.parse(name))


def discovered(document: Any) -> list[Field]:
    """Return the fields that one request shows, at most FIELDS_MAX: its scalars, and lists of scalars as one field each."""
    return [field(name) for name in islice(_places(document, (), _DEPTH_MAX), FIELDS_MAX)]


def _places(value: Any, place: Pointer, depth: int) -> Iterator[str]:
    if isinstance(value, dict) and depth:
        for name, member in value.items():
            if name != json_pointer.EVERY and len(name) <= 100:
                yield from _places(member, (*place, name), depth - 1)
    elif isinstance(value, list) and depth and any(isinstance(element, dict) for element in value):
        if len(value) <= _ELEMENTS_MAX:
            for number, element in enumerate(value):
                yield from _places(element, (*place, str(number)), depth - 1)
        else:
            yield from _places(value[0], (*place, json_pointer.EVERY), depth - 1)
    elif not isinstance(value, dict) and place:
        yield json_pointer.format(place)


@dataclass(frozen=True, slots=True)
class Reference:
    """What requests were like while `version` was accepted and well; `usual_rejected`: an upper bound of the share that the
    schema refused. `asked` are the fields that the settings named then.
    """

    version: str
    samples: int
    asked: tuple[tuple[str, str], ...]
    shapes: dict[str, FieldProfile]
    usual_rejected: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "version": self.version,
            "samples": self.samples,
            "asked": [list(pair) for pair in self.asked],
            "shapes": {name: shape.as_dict() for name, shape in self.shapes.items()},
            "usual_rejected": self.usual_rejected,
        }


def reference_of(plain: dict[str, Any]) -> Reference:
    """Return the reference that `as_dict` wrote."""
    return Reference(
        plain["version"],
        plain["samples"],
        tuple((name, kind) for name, kind in plain["asked"]),
        {name: shape_of(shape) for name, shape in plain["shapes"].items()},
        plain["usual_rejected"],
    )


class ReferenceLearner:
    """Learns a reference from good requests: fields first, if none are named, then their shapes, in two halves."""

    def __init__(self, version: str, asked: Sequence[Field], samples: int, seconds: float) -> None:
        self.version = version
        self.seen = 0
        self._asked = tuple(asked)
        self._fields: dict[str, Field] = {field.name: field for field in asked}
        self._lessons = {field.name: FieldLearner(field.kind) for field in asked}
        self._samples, self._seconds = samples, seconds
        self._since_ns: int | None = None
        self._halfway = False

    def take(self, document: Any, now_ns: int) -> None:
        """Learn from one request."""
        if self._since_ns is None:
            self._since_ns = now_ns
        if not self._asked and self.seen < DISCOVERED_FROM:
            for found in discovered(document):
                if found.name not in self._fields and len(self._fields) < FIELDS_MAX:
                    self._fields[found.name] = found
                    self._lessons[found.name] = FieldLearner("auto")
        self.seen += 1
        for name, lesson in self._lessons.items():
            lesson.take(self._fields[name].values(document))
        if not self._halfway and self._is_done(0.5, now_ns):
            self._halfway = True
            for lesson in self._lessons.values():
                lesson.halfway()

    def _is_done(self, share: float, now_ns: int) -> bool:
        assert self._since_ns is not None
        return self.seen >= share * self._samples and now_ns - self._since_ns >= share * self._seconds * SECOND_NS

    def reference(self, now_ns: int, usual_rejected: float) -> Reference | None:
        """Return what was learned; None while that is not enough."""
        if not self._halfway or not self._is_done(1.0, now_ns):
            return None
        asked = tuple((field.name, field.kind) for field in self._asked)
        shapes = {name: lesson.over() for name, lesson in self._lessons.items()}
        return Reference(self.version, self.seen, asked, shapes, usual_rejected)
