"""The types of the API's documents as Markdown."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from docs.generate import docstrings
from docs.generate.markdown import code, prose


def links(schema: dict[str, Any]) -> str:
    """Return the names of the documents of a schema, each a link."""
    return " or ".join(type_text(option) for option in schema.get("anyOf", [schema]))


def type_text(schema: dict[str, Any]) -> str:
    """Return the type of a member: `string`, `list of Drill`, a link to a document."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(type_text(option) for option in schema["anyOf"])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(value)) for value in schema["enum"])
    match schema.get("type"):
        case "array":
            return f"list of {type_text(schema['items'])}" if schema.get("items") else "list"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"object of {type_text(schema['additionalProperties'])}"
        case list() as kinds:
            return " or ".join(kinds)
        case None:
            return "any"
        case kind:
            return str(kind)


def members(name: str, schema: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (member, type, meaning) of a document. A member that may be missing says so."""
    meanings = docstrings.of_fields(classes()[name]) if name in classes() else {}
    required = schema.get("required", ())
    for member, node in schema["properties"].items():
        optional = "" if member in required else "Optional. "
        meaning = meanings.get(member, node.get("description", ""))
        yield code(member), type_text(node), (optional + prose(docstrings.one_line(meaning))).strip()


@cache
def classes() -> dict[str, type]:
    """Return the public classes of the router by name; a name exists once."""
    modules = [module for name, module in sys.modules.items() if name.startswith("router.")]
    return {
        name: cls
        for module in modules
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and cls.__module__ == module.__name__
    }
