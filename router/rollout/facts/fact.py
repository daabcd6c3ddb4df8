"""The base class of all facts: read from JSON, written as JSON. The members of JSON are the fields of the class.

Reading validates: a member of another type raises FactInvalid, which names the type of the fact and the member. The validators
are made by pydantic-core from the fields of a class when its first fact is read. `pydantic.TypeAdapter` would do the same in five
times the time, and a start reads facts of 25 classes.

Writing leaves out a field that equals its default, unless it is marked ALWAYS or has no default. So an entry that is read and
written again is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from enum import Enum, StrEnum
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeVar, get_type_hints

import orjson
from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, ValidationError, core_schema

Document = dict[str, Any]
"""A JSON object that a fact keeps as it is, for display: what the judge, an adapter or a client has written."""
Number = int | float
"""Reading keeps an integer an integer: 10 is not written as 10.0."""
ALWAYS: Final = {"always": True}
"""Metadata of a field that is written also if it equals its default."""
FROM: Final = {"alias": "from", "always": True}
"""Metadata of a field whose member is `from`, a keyword of Python."""
MAYBE_FROM: Final = {"alias": "from"}
"""As FROM, and left out if it equals its default."""


class Scope(Enum):
    """Whose fact it is, if several routers work as one."""

    FLEET = "fleet"
    """It holds for all routers: it is in their common log."""
    ROUTER = "router"
    """It holds for the router that wrote it, and for no other one."""


class FactInvalid(ValueError):
    """The members of a known type do not fit its class. The message names the type and the first member that does not fit."""


_F = TypeVar("_F", bound="Fact")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact. `TYPE` is the type of its entry, `SCOPE` whose fact it is."""

    TYPE: ClassVar[str] = ""
    SCOPE: ClassVar[Scope] = Scope.FLEET

    @property
    def type(self) -> str:
        """The type of the entry."""
        return self.TYPE

    @classmethod
    def from_data(cls, data: Document) -> Self:
        """Return the fact of JSON data; raise FactInvalid. The data belongs to the fact from then on."""
        return validated(cls, data)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the fact of a JSON text; raise FactInvalid, also if it is no JSON."""
        try:
            fact: Self = _validator(cls).validate_json(text)
        except ValidationError as error:
            raise _invalid(cls.TYPE, error) from None
        return fact

    def to_data(self) -> Document:
        """Return the members as JSON data, sorted by name. Documents in it are those of the fact: do not change them."""
        data: Document = {}
        for name, member, default, plain in _members(type(self)):
            value = getattr(self, name)
            if value is not default and value != default:
                data[member] = value if plain is None else plain(value)
        return data

    def at_ns(self, monotonic_ns: int) -> Self:
        """Return the fact of an entry with this time: a class whose older entries hold monotonic times replaces them here."""
        return self


def validated(cls: type[_F], data: Document) -> _F:
    """Return the fact of class `cls` with the members `data`; raise FactInvalid."""
    try:
        fact: _F = _validator(cls).validate_python(data)
    except ValidationError as error:
        raise _invalid(cls.TYPE, error) from None
    return fact


def parsed(kind: str, text: str | bytes) -> Document:
    """Return the members that are a JSON text; raise FactInvalid if it is no JSON object."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FactInvalid(f"{kind}: {error}") from None
    if not isinstance(data, dict):
        raise FactInvalid(f"{kind}: its members are no JSON object")
    return data


class _Member(NamedTuple):
    """A field as it is written: its name in the class and in JSON, the value that is left out, how its value becomes plain."""

    name: str
    member: str
    default: object
    plain: Callable[[Any], Any] | None


_NEVER: Final = object()
"""The default of a field that is always written: it equals no value."""


def _members_of(cls: type[Fact]) -> tuple[_Member, ...]:
    hints = get_type_hints(cls)
    found = [
        _Member(field.name, _alias(field), _left_out(field), None if _is_plain(hints[field.name]) else plain)
        for field in fields(cls)
    ]
    return tuple(sorted(found, key=lambda member: member.member))


def _members(cls: type[Fact]) -> tuple[_Member, ...]:
    known = _MEMBERS.get(cls)
    if known is None:
        known = _MEMBERS[cls] = _members_of(cls)
    return known


_MEMBERS: Final[dict[type[Fact], tuple[_Member, ...]]] = {}
"""By class, found when its first fact is written."""


def _alias(field: Field[Any]) -> str:
    return str(field.metadata.get("alias", field.name))


def _left_out(field: Field[Any]) -> object:
    if field.metadata.get("always"):
        return _NEVER
    if field.default_factory is not MISSING:
        return field.default_factory()
    return _NEVER if field.default is MISSING else field.default


def _is_plain(hint: object) -> bool:
    """Whether the values of a field are JSON data as they are: numbers, texts and documents."""
    return hint in _PLAIN


_PLAIN: Final = (
    *(str, int, bool, float, Number, Document),
    *(str | None, int | None, bool | None, Number | None, Document | None, dict[str, Document], dict[str, int] | None),
)


def plain(value: Any) -> Any:
    """Return a member as JSON data: tuples become lists, objects their `as_dict`."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    return value.as_dict() if hasattr(value, "as_dict") else value


def _validator_of(cls: type[Fact]) -> SchemaValidator:
    hints = get_type_hints(cls)
    members = [
        core_schema.dataclass_field(
            field.name, _with_default(_schema(hints[field.name]), field), kw_only=True, validation_alias=_alias(field)
        )
        for field in fields(cls)
    ]
    arguments = core_schema.dataclass_args_schema(cls.__name__, members)
    names = [field.name for field in fields(cls)]
    return SchemaValidator(core_schema.dataclass_schema(cls, arguments, names, slots=True, frozen=True))


def _validator(cls: type[Fact]) -> SchemaValidator:
    known = _VALIDATORS.get(cls)
    if known is None:
        known = _VALIDATORS[cls] = _validator_of(cls)
    return known


_VALIDATORS: Final[dict[type[Fact], SchemaValidator]] = {}
"""By class, made when its first fact is read."""


@cache
def _schema(hint: Any) -> core_schema.CoreSchema:
    return TypeAdapter(hint).core_schema


def _with_default(schema: core_schema.CoreSchema, field: Field[Any]) -> core_schema.CoreSchema:
    if field.default_factory is not MISSING:
        return core_schema.with_default_schema(schema, default_factory=field.default_factory)
    if field.default is not MISSING:
        return core_schema.with_default_schema(schema, default=field.default)
    return schema


def _invalid(kind: str, error: ValidationError) -> FactInvalid:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"])) or "its members"
    return FactInvalid(f"{kind}: {place}: {first['msg']}")
