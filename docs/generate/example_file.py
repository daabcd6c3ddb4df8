"""The example of the settings: every setting with its meaning, at its default, and commented out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

from docs.generate.settings_tables import Setting, Table, tables
from router.cli.settings import toml_value

WIDTH: Final = 120
_HEADER: Final = """\
#:schema ./router.schema.json
# rollback-router: every setting with its default. Start with: rollback-router run --config router.toml
#
# A line `#name = value` is a setting at its default: remove the # to change it. `# unset: name = value` has no default.
# Flags override the environment, which overrides this file: ROLLBACK_ROUTER_LIMITS__BODY_BYTES_MAX=1048576 sets
# limits.body_bytes_max. `rollback-router config check --config FILE` names every mistake. SIGHUP makes a running router
# read the file again. A setting marked (restart) changes only with a restart.
# This file is generated from the code by: python -m docs.generate
"""
_REQUIRED: Final = "active"
"""A service of the example needs a version."""


def text() -> str:
    """Return the file."""
    # An array of tables stands in the table above it as `name = []`, with an example.
    return "\n".join([_HEADER, *("\n".join(_table(table)) + "\n" for table in tables() if not table.items)])


def _table(table: Table) -> Iterator[str]:
    place = table.place.replace("services.NAME", "services.default")
    restart = bool(table.settings) and all(setting.restart for setting in table.settings)
    if place:
        yield from _comment(_marked(table.meaning, restart))
        yield f"[{place}]"
    for setting in table.settings:
        yield from _comment(_marked(setting.meaning, setting.restart and not restart))
        yield from _lines(place, setting)


def _marked(meaning: str, restart: bool) -> str:
    return f"{meaning} (restart)" if restart else meaning


def _comment(text: str) -> Iterator[str]:
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return (f"# {line}" for line in lines)


def _lines(place: str, setting: Setting) -> Iterator[str]:
    name, default, example = setting.name, setting.default, setting.example
    if default is None:
        assert example is not None, f"{place}.{name} has neither a default nor an example"
        prefix = "" if name == _REQUIRED else "# unset: "
        yield f"{prefix}{name} = {toml_value(example)}"
        return
    if example is not None:
        yield "# For example:"
        yield from _example(f"{place}.{name}".lstrip("."), example)
    yield f"#{name} = {toml_value(default)}"


def _example(place: str, example: Any) -> Iterator[str]:
    if "schema" not in place and isinstance(example[0], dict) and not place.startswith("services."):
        for item in example:
            yield f"#     [[{place}]]"
            yield from (f"#     {name} = {toml_value(value)}" for name, value in item.items())
    else:
        yield f"#     {place.rpartition('.')[2]} = {toml_value(example)}"
