"""docs/reference/settings.md: every setting with its type, unit, default and meaning."""

from __future__ import annotations

import json
from typing import Any, Final

from docs.generate.markdown import code, page, prose, table
from docs.generate.settings_schema import Node
from docs.generate.settings_tables import Setting, Table, tables
from router.cli.settings import toml_value
from router.settings.environment import OWN

_INTRODUCTION: Final = """\
This page lists every setting of `router.toml` with its default.
[deploy/router.example.toml](../../deploy/router.example.toml) has the same settings, ready to edit.
[deploy/router.schema.json](../../deploy/router.schema.json) is their JSON Schema: editors complete and check the file with
it.

- A flag of `run` overrides the environment. The environment overrides the file. The file overrides the default.
- The environment variable of a setting is `ROLLBACK_ROUTER_` and its name in capitals, with `__` between table and name:
  `ROLLBACK_ROUTER_LIMITS__BODY_BYTES_MAX=1048576` sets `limits.body_bytes_max`. [Environment](#environment) has the rules.
- The name of a quantity ends in its unit. A duration is at most 31 days unless its row says otherwise.
- An unknown name is an error, and so is a value of another kind: `slo_ms = "250"` is a text, and no number.
  `rollback-router config check --config FILE` names every mistake at once, with line and column.
  `rollback-router config show --config FILE` prints all settings in effect. `rollback-router config init` writes a first file.
- SIGHUP makes a running router read the file again: services are added, changed and removed. A setting marked **restart**
  changes only with a restart.
"""
_ENVIRONMENT: Final = """\
- A list or a table is written as JSON: `ROLLBACK_ROUTER_SERVICES__FRAUD__HOSTS='["fraud.example.com"]'`. The error about
  another form names the variable and an example.
- A variable of one member wins over the variable of its table. Two spellings of one variable are an error.
- A name is compared without regard to case. `_` in the name of a service also stands for `-` and `.`:
  `ROLLBACK_ROUTER_SERVICES__FRAUD_EU__HOSTS` sets `services.fraud-eu.hosts` if the file has that service.
- White space and line breaks around a value are removed.
- Variables that Kubernetes or docker set for a Service or a container with a name like `rollback-router` are passed over.
  They are recognised by the form of name *and* value: `…_SERVICE_HOST=10.0.0.11`, `…_SERVICE_PORT=80`,
  `…_PORT=tcp://10.0.0.11:80`, `…_PORT_80_TCP_ADDR=10.0.0.11`. The log of the start and `config check` list them.
  `enableServiceLinks: false` in the pod's specification turns them off.
- Every other variable with the prefix that is no setting is an error, except the program's own:
"""
_UNITS: Final = (
    ("_bytes_per_s", "bytes per second"),
    ("_per_s", "per second"),
    ("_s", "seconds"),
    ("_ms", "milliseconds"),
    ("_ms_max", "milliseconds"),
    ("_s_max", "seconds"),
    ("_days", "days"),
    ("bytes", "bytes"),
    ("bytes_max", "bytes"),
    ("bytes_held_max", "bytes"),
    ("share", "share, 0 to 1"),
    ("share_max", "share, 0 to 1"),
    ("share_min", "share, 0 to 1"),
    ("confidence", "share, 0 to 1"),
    ("availability", "share, 0 to 1"),
)
_LIMITS_OF_TYPES: Final = (86_400 * 31, 1_000_000_000, 1 << 50)
"""Upper bounds that every duration, count and size has."""


def text() -> str:
    """Return the page."""
    own = table(("Variable", "Meaning"), [(code(name), prose(meaning)) for name, meaning in OWN.items()])
    parts = [_INTRODUCTION, "## Environment", _ENVIRONMENT, own]
    for found in tables():
        parts += _part(found)
    return page("Settings", *parts)


def _part(found: Table) -> list[str]:
    brackets = "[[{}]]" if found.items else "[{}]"
    title = code(brackets.format(found.place)) if found.place else "Top level"
    rows = [_row(setting) for setting in found.settings]
    meaning = prose(found.meaning) if found.place else "These settings stand above the first table of the file."
    head = ("Setting", "Type", "Default", "Meaning")
    return [f"## {title}", meaning, *([table(head, rows)] if rows else [])]


def _row(setting: Setting) -> tuple[str, str, str, str]:
    missing = "required" if setting.required else "unset"
    default = missing if setting.default is None else code(toml_value(setting.default))
    restart = " **restart**" if setting.restart else ""
    example = f" Example: {code(_example(setting.example))}." if setting.example is not None else ""
    return code(setting.name), _type(setting.name, setting.schema), default, prose(setting.meaning) + example + restart


def _example(value: Any) -> str:
    return toml_value(value[0] if isinstance(value, list) and isinstance(value[0], dict) else value)


def _type(name: str, schema: Node) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(name, option) for option in schema["anyOf"])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(value)) for value in schema["enum"])
    if "$ref" in schema:
        return "table"
    match schema.get("type"):
        case "integer" | "number" as kind:
            return _quantity(name, kind, schema)
        case "array":
            items = _type("", schema["items"]) if "items" in schema else "value"
            return f"list of {items}" + ("s" if items in ("string", "table", "number") else "")
        case kind:
            return str(kind)


def _quantity(name: str, kind: str, schema: Node) -> str:
    unit = next((unit for ending, unit in _UNITS if name.endswith(ending)), "count" if kind == "integer" else kind)
    low, high = (
        schema.get("minimum", schema.get("exclusiveMinimum")),
        schema.get("maximum", schema.get("exclusiveMaximum")),
    )
    if high is None or high in _LIMITS_OF_TYPES or unit.startswith("share"):
        return unit
    return f"{unit}, {low:,} to {high:,}"
