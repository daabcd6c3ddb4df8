"""The fields of requests, their values, and the reference: the profiles of the fields, learned from good requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from router.rollout import json_pointer
from router.rollout.json_pointer import MISSING, Pointer
from router.rollout.quality.field_profile import FieldLearner, FieldProfile, Kind, profile_from_dict
from router.rollout.units import SECOND_NS

VALUES_MAX: Final = 256
"""Values of one field of one request; later ones are ignored."""
FIELDS_MAX: Final = 32
DISCOVERED_FROM: Final = 20
"""Requests from which fields are learned."""
_DEPTH_MAX: Final = 4
_ELEMENTS_MAX: Final = 4
"""In a list of at most this many objects each element has its own fields; the elements of longer lists share them."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of requests: its JSON pointer and kind."""

    name: str
    kind: Kind = "auto"
    place: Pointer = ()

    def values(self, document: Any) -> list[Any]:
        """Return the values of the field in a request, lists flattened; empty if any is missing or null."""
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
    """Return the field; raise ValueError if `name` is no JSON pointer."""
    return Field(name, kind, json_pointer.parse(name))


def discovered(document: Any) -> list[Field]:
    """Return the fields of one request, at most FIELDS_MAX: scalars, and lists of scalars as one field each."""
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
    """The profiles of requests while `version` was accepted and no trigger failed. `usual_rejected`: upper bound of the share
    that the schema rejected. `requested`: the fields in the settings at that time.
    """

    version: str
    samples: int
    requested: tuple[tuple[str, str], ...]
    profiles: dict[str, FieldProfile]
    usual_rejected: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "version": self.version,
            "samples": self.samples,
            "asked": [list(pair) for pair in self.requested],
            "shapes": {name: profile.as_dict() for name, profile in self.profiles.items()},
            "usual_rejected": self.usual_rejected,
        }


def reference_from_dict(plain: dict[str, Any]) -> Reference:
    """Return the reference that `as_dict` wrote."""
    return Reference(
        plain["version"],
        plain["samples"],
        tuple((name, kind) for name, kind in plain["asked"]),
        {name: profile_from_dict(profile) for name, profile in plain["shapes"].items()},
        plain["usual_rejected"],
    )


class ReferenceLearner:
    """Learns a reference from good requests: first the fields, if the settings name none; then their profiles, in two halves."""

    def __init__(self, version: str, requested: Sequence[Field], samples: int, seconds: float) -> None:
        self.version = version
        self.seen = 0
        self._requested = tuple(requested)
        self._fields: dict[str, Field] = {field.name: field for field in requested}
        self._learners = {field.name: FieldLearner(field.kind) for field in requested}
        self._samples, self._seconds = samples, seconds
        self._since_ns: int | None = None
        self._in_second_half = False

    def take(self, document: Any, now_ns: int) -> None:
        """Learn from one request."""
        if self._since_ns is None:
            self._since_ns = now_ns
        if not self._requested and self.seen < DISCOVERED_FROM:
            for found in discovered(document):
                if found.name not in self._fields and len(self._fields) < FIELDS_MAX:
                    self._fields[found.name] = found
                    self._learners[found.name] = FieldLearner("auto")
        self.seen += 1
        for name, learner in self._learners.items():
            learner.take(self._fields[name].values(document))
        if not self._in_second_half and self._is_done(0.5, now_ns):
            self._in_second_half = True
            for learner in self._learners.values():
                learner.start_second_half()

    def _is_done(self, share: float, now_ns: int) -> bool:
        assert self._since_ns is not None
        return self.seen >= share * self._samples and now_ns - self._since_ns >= share * self._seconds * SECOND_NS

    def reference(self, now_ns: int, usual_rejected: float) -> Reference | None:
        """Return the reference; None before enough requests and time."""
        if not self._in_second_half or not self._is_done(1.0, now_ns):
            return None
        requested = tuple((field.name, field.kind) for field in self._requested)
        profiles = {name: learner.profile() for name, learner in self._learners.items()}
        return Reference(self.version, self.seen, requested, profiles, usual_rejected)
