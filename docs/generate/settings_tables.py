"""The tables of router.toml in the reader's order, each with its settings. Made from the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from docs.generate.settings_schema import Node, document

ORDER: Final = (
    "services", "admin", "tls", "forwarding", "tracing", "limits", "timeouts", "alerts", "notify", "incidents", "history",
    "mlflow",
)  # fmt: skip
"""The tables of the root in the reader's order."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `schema` has its type, meaning, default and example."""

    name: str
    schema: Node
    restart: bool
    required: bool

    @property
    def meaning(self) -> str:
        """What it does."""
        return str(self.schema["description"])

    @property
    def default(self) -> Any:
        """The default; None if there is none."""
        return self.schema.get("default")

    @property
    def example(self) -> Any:
        """An example; None if there is none."""
        return self.schema.get("examples", [None])[0]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of TOML. `place` is its dotted name, with `NAME` for the name of a service."""

    place: str
    meaning: str
    settings: tuple[Setting, ...]
    items: bool = False
    """Whether it is a table of an array, `[[…]]`."""


def tables() -> Iterator[Table]:
    """Yield all tables, the root's settings first."""
    root = document()
    yield Table("", root["description"], tuple(_settings(root, restart=False)))
    for name in ORDER:
        schema = root["properties"][name]
        if name == "services":
            yield from _below("services.NAME", _definition(schema["additionalProperties"]), restart=False)
        else:
            yield from _members(name, schema, restart=False)


def _members(place: str, schema: Node, *, restart: bool) -> Iterator[Table]:
    """Yield the table that a member is, or the tables of the array that it is."""
    restart = restart or schema.get("x-restart", False)
    if (node := _table(schema)) is not None:
        yield from _below(place, node, restart=restart, meaning=schema.get("description", ""))
    elif schema.get("type") == "array" and "$ref" in schema["items"]:
        node = _definition(schema["items"])
        yield Table(place, node["description"], tuple(_settings(node, restart=restart)), items=True)


def _below(place: str, node: Node, *, restart: bool, meaning: str = "") -> Iterator[Table]:
    """Yield a table and its tables. `meaning`: what this use of the table is for, if it has several."""
    yield Table(place, f"{meaning} {node['description']}".strip(), tuple(_settings(node, restart=restart)))
    for name, schema in node["properties"].items():
        yield from _members(f"{place}.{name}", schema, restart=restart)


def _settings(node: Node, *, restart: bool) -> Iterator[Setting]:
    for name, schema in node["properties"].items():
        if _table(schema) is None and name != "services":
            required = name in node.get("required", ())
            yield Setting(name, schema, restart or schema.get("x-restart", False), required)


def _table(schema: Node) -> Node | None:
    """Return the definition if the member is a table of its own. A version with its endpoints is written inline."""
    for option in (schema, *schema.get("anyOf", ())):
        if option.get("$ref", "").startswith("#/$defs/") and not option["$ref"].endswith("/TargetSeed"):
            return _definition(option)
    return None


def _definition(schema: Node) -> Node:
    node: Node = document()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return node
