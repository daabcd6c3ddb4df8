"""Whether a request is what the model takes, and an answer is one at all. Bytes and rules in, a complaint or None out.

A complaint names what was asked (`result`, the label in metrics), the place, and what is wrong there, never a value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import orjson

from router.rollout import pointer
from router.rollout.pointer import MISSING, Pointer
from router.rollout.quality.schema import Schema, short

_NO_NUMBERS: Final = frozenset((dict, list, str, bool, type(None)))
_FLOATS: Final = frozenset((float,))
_WALKED: Final = frozenset((dict, list, float))
"""Kinds of members that have to be looked at one by one."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """`result` is empty, json, schema, finite or label; `place` a JSON pointer, "" for the whole body."""

    result: str
    place: str
    detail: str

    def __str__(self) -> str:
        return f"{self.detail} at {self.place}" if self.place else self.detail


@dataclass(frozen=True, slots=True)
class Labels:
    """What `place` names must be one of `allowed`. A number is not a truth value, though Python says that 1 == True."""

    place: Pointer
    allowed: frozenset[tuple[bool, Any]]


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """What a complete answer must be. `finite` names places in which all numbers are finite and none is missing."""

    not_empty: bool = False
    json: bool = False
    schema: Schema | None = None
    finite: tuple[Pointer, ...] = ()
    labels: tuple[Labels, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there is anything to check."""
        return self.not_empty or self.reads

    @property
    def reads(self) -> bool:
        """Whether a check has to read the body as JSON."""
        return self.json or self.schema is not None or bool(self.finite or self.labels)


def labels(place: str, allowed: list[Any]) -> Labels:
    """Return the rule; raise ValueError if `place` is no pointer."""
    return Labels(pointer.parse(place), frozenset((isinstance(value, bool), value) for value in allowed))


def request_complaint(schema: Schema, body: bytes) -> Complaint | None:
    """Return what is wrong with a request's body; None if nothing is."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Complaint("json", "", f"the body is not JSON: {short(error.msg)} (byte {error.pos})")
    return _against(schema, document)


def answer_complaint(rules: AnswerRules, body: bytes) -> Complaint | None:
    """Return what is wrong with the body of an answer; None if nothing is."""
    if rules.not_empty and not body.strip():
        return Complaint("empty", "", "the body is empty")
    if not rules.reads:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _unreadable(rules, body, error)
    for place in rules.finite:
        if (found := _not_finite(document, place)) is not None:
            return found
    for label in rules.labels:
        if (found := _not_allowed(document, label)) is not None:
            return found
    return None if rules.schema is None else _against(rules.schema, document)


def _against(schema: Schema, document: Any) -> Complaint | None:
    found = schema.complaint(document)
    return None if found is None else Complaint("schema", *found)


def _unreadable(rules: AnswerRules, body: bytes, error: orjson.JSONDecodeError) -> Complaint:
    """No JSON; but NaN and Infinity, which many encoders write, and 1e999 are told by their place, where they are asked for."""
    try:
        document = json.loads(body) if rules.finite else None
    except (ValueError, RecursionError):
        return Complaint("json", "", f"the body is not JSON: {short(error.msg)}")
    for place in rules.finite:
        if (found := _not_finite(document, place)) is not None:
            return found
    return Complaint("json", "", f"the body is not JSON: {short(error.msg)}")


# -- numbers
def _not_finite(document: Any, pointed: Pointer) -> Complaint | None:
    for place, value in pointer.values(document, pointed):
        if value is MISSING:
            return Complaint("finite", short(pointer.spell(place)), "there is no number")
        if (found := _unnumbered(value, place, strict=True)) is not None:
            return Complaint("finite", short(pointer.spell(found[0])), found[1])
    return None


def _unnumbered(value: Any, place: Pointer, *, strict: bool) -> tuple[Pointer, str] | None:
    """Return (place, what is wrong) of the first number that is none. `strict`: here no null is allowed, because numbers were
    asked for; within an object null is a value like others, but not beside numbers in a list.
    """
    if isinstance(value, list):
        return _unnumbered_list(value, place, strict=strict)
    if isinstance(value, dict):
        for name, member in value.items():
            if (found := _unnumbered(member, (*place, name), strict=False)) is not None:
                return found
        return None
    if value is None:
        return (place, "null where a number is expected") if strict else None
    if isinstance(value, float) and not isfinite(value):
        return place, "a number that is not finite"
    return None


def _unnumbered_list(value: list[Any], place: Pointer, *, strict: bool) -> tuple[Pointer, str] | None:
    kinds = set(map(type, value))
    if type(None) in kinds and (strict or not kinds <= _NO_NUMBERS):
        return (*place, str(value.index(None))), "null where a number is expected"
    if kinds == _FLOATS and all(map(isfinite, value)):  # the common case, at the speed of C
        return None
    if kinds & _WALKED:
        for number, member in enumerate(value):
            if (found := _unnumbered(member, (*place, str(number)), strict=strict)) is not None:
                return found
    return None


def _not_allowed(document: Any, rule: Labels) -> Complaint | None:
    for place, value in pointer.values(document, rule.place):
        if value is MISSING:
            return Complaint("label", short(pointer.spell(place)), "there is no label")
        if isinstance(value, (list, dict)) or (isinstance(value, bool), value) not in rule.allowed:
            return Complaint("label", short(pointer.spell(place)), "a label that is not among the allowed ones")
    return None
