"""Puts the commands together. Exit codes are listed in runtime/exit_codes.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from router import __version__
from router.cli import (
    acceptance,
    advise,
    alerts,
    cases,
    changes,
    check,
    completion,
    doctor,
    drill,
    failure,
    first_settings,
    incidents,
    inputs,
    notify,
    output,
    proposals,
    report,
    run,
    settings,
    status,
    token,
    versions,
)
from router.cli.options import USAGE_ERROR
from router.errors import RouterError
from router.runtime.exit_codes import ExitCode
from router.runtime.printable import printable_lines
from router.runtime.text.hints import PROGRAM, Hints


class Commands(TyperGroup):
    """The commands. Usage errors quote the command line, so their messages are escaped like all other output."""

    def make_context(self, info_name: Any, args: list[str], *given: Any, **more: Any) -> Any:
        """Parse the options before the command; keep the words of the command for hints."""
        typed = tuple(args)
        with _quiet_ends():
            return super().make_context(info_name, args, *given, obj=typed, **more)

    def invoke(self, ctx: Any) -> Any:
        """Parse the command's options, and run it."""
        with _quiet_ends():
            return super().invoke(ctx)


@contextmanager
def _quiet_ends() -> Iterator[None]:
    """Make usage errors printable, and end quietly if the reader of the output has gone (`| head`)."""
    try:
        yield
    except USAGE_ERROR as error:
        found: Any = error
        found.message = printable_lines(found.message)
        raise
    except BrokenPipeError:
        raise typer.Exit(output.CLOSED) from None


app = typer.Typer(
    name="rollback-router",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,  # `completion` asks the running router, too
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: {', '.join(f'{code} {code.label}' for code in ExitCode)}.",
)
for part in (
    run,
    status,
    changes,
    versions,
    alerts,
    inputs,
    proposals,
    incidents,
    report,
    advise,
    drill,
    acceptance,
    check,
    doctor,
    completion,
):
    app.registered_commands += part.app.registered_commands
settings.app.registered_commands += first_settings.app.registered_commands
app.add_typer(settings.app, name="config")
app.add_typer(token.app, name="token")
app.add_typer(cases.app, name="cases")
app.add_typer(notify.app, name="notify")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"rollback-router {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keep the previous version of a model warm and swap back to it when the new one fails."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Arguments default to those of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = _run(words)
    return code if output.finish() else code or output.CLOSED


def _run(words: list[str]) -> int:
    try:
        app(words, prog_name=PROGRAM)
    except RouterError as error:  # of a command that calls no router
        return failure.report(error, "--json" in words, Hints(typed=tuple(words)))
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0
