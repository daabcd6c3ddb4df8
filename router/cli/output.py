"""Prints tables and sentences. On a terminal tables fit its width; in a pipe every row is one line with whole values.

Colour only on a terminal, without NO_COLOR, and unless TERM is dumb. Sentences are never broken, so that a command in them can
be copied. Every command prints through this module, which escapes unprintable characters (router/runtime/printable.py). Markup
in texts is not interpreted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime.printable import printable_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from router.cli.tables import TextTable

PLAIN_COLUMNS: Final = 1 << 30
"""The width of a pipe: nothing in it is broken or cut."""
_LINES: Final = 25
CLOSED: Final = 141
"""The exit code of a command whose reader has closed the pipe, as of a program that SIGPIPE ends (128 + 13)."""


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout or stderr as it is now."""
    from router.runtime.terminal import PrintableConsole

    stream = sys.stderr if stderr else sys.stdout
    if not stream.isatty():
        return PrintableConsole(file=stream, width=PLAIN_COLUMNS, force_terminal=False, color_system=None)
    made = PrintableConsole(file=stream, force_terminal=True)
    if made.is_dumb_terminal:  # rich takes 80 columns for granted
        return PrintableConsole(file=stream, width=_columns(), height=_LINES, force_terminal=True, color_system=None)
    return PrintableConsole(file=stream, force_terminal=True, color_system=None) if made.no_color else made


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns


def say(*lines: str) -> None:
    """Print sentences on stdout, each in one line, without wrapping."""
    show(*lines)


def show(*parts: RenderableType) -> None:
    """Print tables and sentences on stdout."""
    with _writing():
        for part in parts:
            console().print(part, soft_wrap=isinstance(part, str))


def note(line: str) -> None:
    """Print a sentence about the progress on stderr."""
    with _writing():
        console(stderr=True).print(line, soft_wrap=True)


@contextmanager
def _writing() -> Iterator[None]:
    """Raise CommandError if the output cannot be written, e.g. to a full disk; BrokenPipeError if its reader is gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(CommandCode.FILE_UNWRITABLE, f"the output: {error.strerror}") from None


def finish() -> bool:
    """Write what is buffered; return False if the reader of the output is gone. Then nothing more is written to it."""
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            whole = False
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return whole


def show_json(document: Any) -> None:
    """Print one JSON document in one line."""
    with _writing():
        sys.stdout.write(as_json(document) + "\n")


def as_json(document: Any) -> str:
    """Return one JSON document in one line of printable ASCII."""
    return json.dumps(document).replace("\x7f", "\\u007f")


def write(text: str, *, stderr: bool = False) -> None:
    """Write a text of several lines, with unprintable characters escaped."""
    with _writing():
        (sys.stderr if stderr else sys.stdout).write(printable_lines(text))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    whole: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> TextTable:
    """Return a table. Cells of `whole` never break; `optional` columns may be left out, last first."""
    from router.cli.tables import TextTable

    return TextTable(columns, rows, whole, optional)


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    without: str,
    whole: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> None:
    """Print a table; if it has no rows, print the sentence `without` instead."""
    found = list(rows)
    show(table(columns, found, whole, optional) if found else without)


def yes(value: object) -> str:
    """Return `yes` or `no`."""
    return "yes" if value else "no"


def percent(share: float | None) -> str:
    """Return a share (0 to 1) as per cent; empty without data."""
    return "" if share is None else f"{share * 100:.2f} %"


def number(value: float | None, unit: str = "") -> str:
    """Return a number with at most four significant digits and its unit; empty without data."""
    if value is None:
        return ""
    digits = f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    return f"{digits} {unit}".rstrip()


def long(seconds: float) -> str:
    """Return a duration in the largest unit of which it has at least two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"
