"""Parses a command by the real parsers, and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from router.cli.app import app
from router.cli.options import USAGE_ERROR


@cache
def _root() -> Any:
    return typer.main.get_command(app)


def complaint(words: Sequence[str]) -> str:
    """Return why the command `words` (without the program's name) does not parse; empty if it does."""
    command = _root()
    name, left, context = "rollback-router", list(words), None
    try:
        while True:
            context = command.make_context(name, left, parent=context)
            if not hasattr(command, "commands"):
                return ""
            left = [*context._protected_args, *context.args]
            if not left:
                return "" if command.invoke_without_command else "it names no command"
            name, command, left = command.resolve_command(context, left)
    except typer.Exit:  # --help, --version
        return ""
    except USAGE_ERROR as error:
        return str(error) or error.format_message()  # type: ignore[attr-defined]
