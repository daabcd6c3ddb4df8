"""Validators: a JSON Schema for requests and answers, finite numbers, allowed labels, and the end of a stream.

The schema is checked by jsonschema-rs (the extra `schema`). Nothing is fetched: a `$ref` to another document is an error of the
settings. Patterns use an engine with linear time, because the client chooses the text. Only the first violation is reported:
for a body of 1 MB with 200,000 violations, listing all takes 2.4 s, finding the first 13 ms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Self

import orjson

from router.rollout import json_pointer
from router.rollout.json_pointer import MISSING, Pointer
from router.rollout.text import shorten
from router.runtime.printable import printable

MESSAGE_CHARS_MAX: Final = 200
BODILESS: Final = frozenset((204, 205, 206))
"""Successes without a body, or with a part of one. Their bodies are not checked."""

_MASK: Final = "the value"


class Schema:
    """One schema, compiled (about 1 ms)."""

    def __init__(self, text: str) -> None:
        """Compile the schema (JSON text); raise ValueError for an invalid schema, or if the extra is not installed."""
        try:
            import jsonschema_rs
        except ImportError:
            raise ValueError('a JSON Schema needs the extra "schema": pip install "rollback-router[schema]"') from None
        try:
            patterns = jsonschema_rs.RegexOptions()
            # Its error names the wrong place: without a mask, because the schema is no secret.
            jsonschema_rs.validator_for(text, offline=True, pattern_options=patterns)
            self._validator = jsonschema_rs.validator_for(text, mask=_MASK, offline=True, pattern_options=patterns)
        except jsonschema_rs.ValidationError as error:
            place = json_pointer.format(error.instance_path)
            raise ValueError(f"is no usable JSON Schema: {_message(error.message)}{place and f' at {place}'}") from None
        except ValueError as error:
            raise ValueError(f"is no JSON: {_message(str(error))}") from None

    def complaint(self, document: Any) -> tuple[str, str] | None:
        """Return (JSON pointer, message) of the first violation; None if the document is valid. The message has names of members
        of the document, but no values.
        """
        if self._validator.is_valid(document):
            return None
        try:
            self._validator.validate(document)
        except ValueError as error:
            place = json_pointer.format(getattr(error, "instance_path", []))
            return _message(place), _message(getattr(error, "message", str(error)))
        return None


def _message(text: str) -> str:
    """Return `text` in one visible line of bounded length."""
    return shorten(printable(text[: MESSAGE_CHARS_MAX + 1]), MESSAGE_CHARS_MAX, kept=MESSAGE_CHARS_MAX)


TAIL_BYTES: Final = 512

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")

_DATA: Final = re.compile(rb"data(?::[ ]?(.*))?", re.DOTALL)


class StreamEnd:
    """Checks the end of one event stream; `end` is the data of the last event, for example `[DONE]`."""

    __slots__ = ("_end", "_has_data", "_head", "_tail")

    def __init__(self, end: str) -> None:
        self._end = end.encode()
        self._has_data = False
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        if not self._has_data:
            self._find_data(data)
        self._tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self._tail + data)[-TAIL_BYTES:]

    def _find_data(self, data: bytes) -> None:
        *lines, rest = _LINE_END.split(self._head + data)
        self._has_data = any(self._is_data(line) for line in lines)
        self._head = rest[:TAIL_BYTES]  # the beginning of a longer line suffices
        if self._has_data:
            self._head = b""

    def _is_data(self, line: bytes) -> bool:
        found = _DATA.fullmatch(line)
        return found is not None and bool(found[1]) and found[1] != self._end

    def complaint(self) -> Complaint | None:
        """Return the violation at the end of the stream; None if it is valid."""
        if not (self._has_data or self._is_data(self._head)):
            return Complaint("empty", "", "the stream has no event with data")
        lines = [line for line in _LINE_END.split(self._tail) if line and not line.startswith(b":")]
        last = _DATA.fullmatch(lines[-1]) if lines else None
        if last is None or last[1] != self._end:
            return Complaint("end", "", f"the stream does not end with {self._end.decode()}")
        return None


_NO_NUMBERS: Final = frozenset((dict, list, str, bool, type(None)))

_FLOATS: Final = frozenset((float,))

_WALKED: Final = frozenset((dict, list, float))
"""Types whose values must be checked one by one."""


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
    """The value at `place` must be one of `allowed`. The pairs distinguish 1 from true, which are equal in Python."""

    place: Pointer
    allowed: frozenset[tuple[bool, Any]]


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """The rules for a complete answer. `finite`: JSON pointers whose numbers must all be finite and present."""

    not_empty: bool = False
    json: bool = False
    schema: Schema | None = None
    finite: tuple[Pointer, ...] = ()
    labels: tuple[Labels, ...] = ()

    @classmethod
    def compile(
        cls,
        *,
        not_empty: bool,
        json: bool,
        schema: str | None,
        finite: Iterable[str],
        label_in: Iterable[tuple[str, Sequence[Any]]],
    ) -> Self:
        """Return the rules of the section `validation`; raise ValueError for an invalid schema or pointer.

        `schema` is JSON text, `finite` are pointers, `label_in` are (pointer, allowed values).
        """
        return cls(
            not_empty,
            json,
            Schema(schema) if schema else None,
            tuple(map(json_pointer.parse, finite)),
            tuple(labels(place, allowed) for place, allowed in label_in),
        )

    @property
    def any(self) -> bool:
        """Whether there is anything to check."""
        return self.not_empty or self.reads

    @property
    def reads(self) -> bool:
        """Whether a check has to read the body as JSON."""
        return self.json or self.schema is not None or bool(self.finite or self.labels)


def labels(place: str, allowed: Iterable[Any]) -> Labels:
    """Return the rule; raise ValueError if `place` is no pointer."""
    return Labels(json_pointer.parse(place), frozenset((isinstance(value, bool), value) for value in allowed))


def request_complaint(schema: Schema, body: bytes) -> Complaint | None:
    """Return the violation in a request's body; None if it is valid."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Complaint("json", "", f"the body is not JSON: {_message(error.msg)} (byte {error.pos})")
    return _schema_complaint(schema, document)


def answer_complaint(rules: AnswerRules, body: bytes) -> Complaint | None:
    """Return the violation in the body of an answer; None if it is valid."""
    if rules.not_empty and not body.strip():
        return Complaint("empty", "", "the body is empty")
    if not rules.reads:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _unreadable(rules, body, error)
    for place in rules.finite:
        if (found := _number_complaint(document, place)) is not None:
            return found
    for label in rules.labels:
        if (found := _label_complaint(document, label)) is not None:
            return found
    return None if rules.schema is None else _schema_complaint(rules.schema, document)


def _schema_complaint(schema: Schema, document: Any) -> Complaint | None:
    found = schema.complaint(document)
    return None if found is None else Complaint("schema", *found)


def _unreadable(rules: AnswerRules, body: bytes, error: orjson.JSONDecodeError) -> Complaint:
    """Return the violation of an invalid JSON body. NaN, Infinity and 1e999, which many encoders write, get their pointer."""
    try:
        document = json.loads(body) if rules.finite else None
    except (ValueError, RecursionError):
        return Complaint("json", "", f"the body is not JSON: {_message(error.msg)}")
    for place in rules.finite:
        if (found := _number_complaint(document, place)) is not None:
            return found
    return Complaint("json", "", f"the body is not JSON: {_message(error.msg)}")


# -- numbers
def _number_complaint(document: Any, pointer: Pointer) -> Complaint | None:
    for place, value in json_pointer.values(document, pointer):
        if value is MISSING:
            return Complaint("finite", _message(json_pointer.format(place)), "there is no number")
        if (found := _bad_number(value, place, strict=True)) is not None:
            return Complaint("finite", _message(json_pointer.format(found[0])), found[1])
    return None


def _bad_number(value: Any, place: Pointer, *, strict: bool) -> tuple[Pointer, str] | None:
    """Return (pointer, message) of the first invalid number. `strict`: null is not allowed. Inside an object null is allowed,
    but not next to numbers in a list.
    """
    if isinstance(value, list):
        return _bad_number_in_list(value, place, strict=strict)
    if isinstance(value, dict):
        for name, member in value.items():
            if (found := _bad_number(member, (*place, name), strict=False)) is not None:
                return found
        return None
    if value is None:
        return (place, "null where a number is expected") if strict else None
    if isinstance(value, float) and not isfinite(value):
        return place, "a number that is not finite"
    return None


def _bad_number_in_list(value: list[Any], place: Pointer, *, strict: bool) -> tuple[Pointer, str] | None:
    kinds = set(map(type, value))
    if type(None) in kinds and (strict or not kinds <= _NO_NUMBERS):
        return (*place, str(value.index(None))), "null where a number is expected"
    if kinds == _FLOATS and all(map(isfinite, value)):  # the common case, at the speed of C
        return None
    if kinds & _WALKED:
        for number, member in enumerate(value):
            if (found := _bad_number(member, (*place, str(number)), strict=strict)) is not None:
                return found
    return None


def _label_complaint(document: Any, rule: Labels) -> Complaint | None:
    for place, value in json_pointer.values(document, rule.place):
        if value is MISSING:
            return Complaint("label", _message(json_pointer.format(place)), "there is no label")
        if isinstance(value, (list, dict)) or (isinstance(value, bool), value) not in rule.allowed:
            return Complaint(
                "label", _message(json_pointer.format(place)), "a label that is not among the allowed ones"
            )
    return None
