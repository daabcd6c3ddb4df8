"""Prints tables and sentences. Colour only on a terminal and without NO_COLOR; otherwise plain, unwrapped text.

Every command prints through this module, which escapes unprintable characters (router/runtime/printable.py). Markup in texts
is not interpreted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from router.runtime.printable import printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PLAIN_COLUMNS: Final = 1000
STYLES: Final = {
    "pass": "green",
    "yes": "green",
    "active": "bold green",
    "ok": "green",
    "fail": "bold red",
    "no": "red",
    "failed": "red",
    "inconclusive": "yellow",
    "not_configured": "dim",
}


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout or stderr as it is now."""
    from router.runtime.terminal import PrintableConsole

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PLAIN_COLUMNS
    return PrintableConsole(file=stream, width=width, highlight=False, markup=False, emoji=False)


def say(*lines: str) -> None:
    """Print sentences on stdout, each in one line, without wrapping."""
    for line in lines:
        console().print(line, soft_wrap=True)


def show(*parts: RenderableType) -> None:
    """Print tables and texts on stdout."""
    for part in parts:
        console().print(part)


def show_json(document: Any) -> None:
    """Print one JSON document in one line."""
    sys.stdout.write(as_json(document) + "\n")


def as_json(document: Any) -> str:
    """Return one JSON document in one line of printable ASCII."""
    return json.dumps(document).replace("\x7f", "\\u007f")


def write(text: str, *, stderr: bool = False) -> None:
    """Write a text of several lines, with unprintable characters escaped."""
    (sys.stderr if stderr else sys.stdout).write(printable_lines(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table without lines. Cells that are states are coloured."""
    from rich.table import Table
    from rich.text import Text

    made = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        texts = ["–" if cell is None or cell == "" else printable(str(cell)) for cell in row]
        made.add_row(*(Text(text, style=STYLES.get(text, "")) for text in texts))
    return made


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], without: str) -> None:
    """Print a table; if it has no rows, print the sentence `without` instead."""
    found = list(rows)
    show(table(columns, found) if found else without)


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
