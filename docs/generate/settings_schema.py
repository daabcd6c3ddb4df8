"""The JSON Schema of router.toml: types, defaults and limits from the models, meanings from their docstrings.

The example of the settings and their reference page are made from this document. `x-restart` marks a setting that only a
restart changes.
"""

from __future__ import annotations

import json
from functools import cache
from types import ModuleType
from typing import Any, Final

from docs.generate import docstrings
from docs.generate.examples import EXAMPLES
from router.rollout.judge import criteria, rules
from router.settings import settings
from router.settings.sections import (
    address,
    admin,
    alerts,
    cases,
    drill,
    forwarding,
    inference,
    inputs,
    limits,
    mlflow,
    notify,
    retention,
    service,
    tls,
    tracing,
    validation,
)
from router.settings.settings import Settings
from router.supervisor.reload import FIXED

Node = dict[str, Any]
"""A part of the JSON Schema."""

_MODULES: Final[tuple[ModuleType, ...]] = (
    address, admin, alerts, cases, drill, forwarding, inference, inputs, limits, mlflow, notify, retention, service, tls, tracing,
    validation, rules, criteria, settings,
)  # fmt: skip
_CLASSES: Final = {
    name: cls
    for module in _MODULES
    for name, cls in vars(module).items()
    if isinstance(cls, type) and cls.__module__ == module.__name__
}
_ADDRESS: Final = {"type": "string", "pattern": r"^unix:/|:\d+$"}
"""Files and flags write an address as text."""


@cache
def document() -> Node:
    """Return the schema of router.toml."""
    generated = Settings.model_json_schema()
    definitions = {name: node for name, node in generated.pop("$defs").items() if name != "Address"}
    described = {name: _described(name, node) for name, node in definitions.items()}
    root = _described("Settings", generated)
    for name in FIXED:
        root["properties"][name]["x-restart"] = True
    described["Admin"]["properties"]["tls"]["x-restart"] = True
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rollback-router settings",
        **root,
        "$defs": dict(sorted(described.items())),
    }


def text() -> str:
    """Return the schema as a file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _described(name: str, node: Node) -> Node:
    """Return the schema of a class with the meaning and the example of each field."""
    cls = _CLASSES[name]
    meanings = docstrings.of_fields(cls)
    properties = {}
    for field, schema in node["properties"].items():
        found = _plain(schema)
        if field in meanings:
            found["description"] = meanings[field]
        if (key := f"{name}.{field}") in EXAMPLES:
            found["examples"] = [EXAMPLES[key]]
        properties[field] = found
    return {**_plain(node), "description": docstrings.one_line(cls.__doc__ or ""), "properties": properties}


def _plain(schema: Node) -> Node:
    """Return `schema` without titles, without `null` (TOML has none), and without defaults of whole tables."""
    found = {name: value for name, value in schema.items() if name not in ("title", "description", "properties")}
    if found.get("$ref") == "#/$defs/Address":
        return {**_ADDRESS, "default": _address(found["default"])}
    options = [option for option in found.pop("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        found |= options[0]
    elif options:
        found["anyOf"] = options
    if found.get("default", ...) is None or isinstance(found.get("default"), dict):
        del found["default"]
    return found


def _address(default: Node) -> str:
    return str(address.Address(**default))
