"""Says what is wrong with a value, in words of the settings: what it must be, never how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

Context = Mapping[str, Any]

_NUMBER: Final = "must be a number"
_WHOLE: Final = "must be a whole number"
_TRUTH: Final = "must be true or false, without quotes"
_TEXT: Final = 'must be a text in quotes: "…"'
_LIST: Final = "must be a list: [ … ]"
_TABLE: Final = "must be a table"
_FIXED: Final[Mapping[str, str]] = {
    "missing": "is missing, and has no default",
    "missing_argument": "is missing, and has no default",
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    "finite_number": "must be a number, neither nan nor inf",
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    **dict.fromkeys(("string_type", "path_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("list_type", "tuple_type"), _LIST),
    **dict.fromkeys(("dict_type", "model_type", "dataclass_type", "model_attributes_type", "mapping_type"), _TABLE),
}
_FORMS: Final[Mapping[str, Callable[[Context], str]]] = {
    "greater_than": lambda of: f"must be more than {of['gt']:g}",
    "greater_than_equal": lambda of: f"must be at least {of['ge']}",
    "less_than": lambda of: f"must be less than {of['lt']:g}",
    "less_than_equal": lambda of: f"must be at most {of['le']}",
    "literal_error": lambda of: f"must be {of['expected']}",
    "too_short": lambda of: f"must have at least {_items(of['min_length'])}",
    "too_long": lambda of: f"must have at most {_items(of['max_length'])}",
    "string_too_short": lambda of: f"must have at least {_characters(of['min_length'])}",
    "string_too_long": lambda of: f"must have at most {_characters(of['max_length'])}",
    "string_pattern_mismatch": lambda of: f"must match the regular expression {of['pattern']}",
    "value_error": lambda of: str(of["error"]),
}
_TOKEN_HASH: Final = "must be a SHA-256 in hex, 64 characters: that of a token as the command token new prints it"


def worded(item: ErrorDetails) -> str:
    """Return what is wrong with one value. Alternatives begin with the same words, "must be"."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "string_pattern_mismatch" and item["loc"][-1] == "sha256":
        return _TOKEN_HASH
    if kind in ("dict_type", "model_type", "dataclass_type") and isinstance(item["input"], list):
        return _not_several(item["loc"])
    if kind == "list_type" and isinstance(item["input"], Mapping):
        return f"must be a list of tables: write [[{_dotted(item['loc'])}]]"
    if kind in _FIXED:
        return _FIXED[kind]
    form = _FORMS.get(kind)
    return form(context) if form else item["msg"].replace("Input should be", "must be")


def _not_several(loc: tuple[int | str, ...]) -> str:
    if loc == ("services",):
        return "must be a table for each service: write [services.NAME], not [[services]]"
    return f"{_TABLE}: write [{_dotted(loc)}] once, not [[{_dotted(loc)}]]"


def _dotted(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc if isinstance(part, str))


def _items(number: int) -> str:
    return "1 item" if number == 1 else f"{number} items"


def _characters(number: int) -> str:
    return "1 character" if number == 1 else f"{number} characters"
