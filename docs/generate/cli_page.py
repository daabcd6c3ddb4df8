"""docs/reference/cli.md: every command with its arguments and options, from the parsers themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import typer

from docs.generate.docstrings import one_line
from docs.generate.markdown import code, page, table
from router.cli.app import app

_PROGRAM: Final = "rollback-router"
_INTRODUCTION: Final = """\
`rollback-router COMMAND --help` prints the same on a terminal. Every command that talks to a running router takes `--admin`
and `--token`; the environment variables `ROLLBACK_ROUTER_ADMIN_URL` and `ROLLBACK_ROUTER_TOKEN` set them once. With `--json` a
command prints one JSON document on stdout. [Exit codes](exit-codes.md) lists how a command can end.
"""


def text() -> str:
    """Return the page."""
    root = typer.main.get_command(app)
    commands = list(_commands(root, _PROGRAM))
    index = [(f"[{code(name)}](#{_anchor(name)})", one_line(_summary(command))) for name, command in commands]
    return page(
        "Command line",
        _INTRODUCTION,
        table(("Command", "What it does"), index),
        *(part for name, command in commands for part in _part(name, command)),
    )


def _commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (full name, command) of each command in the order of --help, subcommands behind their group."""
    for word, command in group.commands.items():
        full = f"{name} {word}"
        is_group = bool(getattr(command, "commands", None))
        if not command.hidden and (not is_group or command.invoke_without_command):
            yield full, command
        if is_group:
            yield from _commands(command, full)


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


def _summary(command: Any) -> str:
    return (command.help or "").split("\n\n")[0]


def _part(name: str, command: Any) -> Iterator[str]:
    yield f"## {code(name)}"
    yield f"```text\n{_usage(name, command)}\n```"
    for paragraph in (command.help or "").split("\n\n"):
        text = one_line(paragraph)
        yield f"```text\n{text}\n```" if text.startswith(_PROGRAM) else text
    rows = [row for parameter in command.params if (row := _row(parameter)) is not None]
    if rows:
        yield table(("Argument or option", "Default", "Meaning"), rows)


def _usage(name: str, command: Any) -> str:
    arguments = [_value(parameter) for parameter in command.params if parameter.param_type_name == "argument"]
    return " ".join((name, "[OPTIONS]", *arguments))


def _value(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _row(parameter: Any) -> tuple[str, str, str] | None:
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return None
    if parameter.param_type_name == "argument":
        names = code(_value(parameter))
    else:
        names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
        if not parameter.is_flag:
            names += f" {code(_value(parameter))}"
    return names, _default(parameter), _meaning(parameter)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return "" if default in (None, "", False, (), []) or callable(default) else code(str(default))


def _meaning(parameter: Any) -> str:
    variable = getattr(parameter, "envvar", None)
    meaning = one_line(parameter.help or "")
    return f"{meaning} Environment: {code(variable)}." if variable else meaning
