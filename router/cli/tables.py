"""A table without lines. On a terminal it fits the width; in a pipe every row is one line with whole values.

Widths are columns of the terminal: a wide character takes two, a combining mark none. On a terminal that is too narrow:

1. headers break at their spaces;
2. long cells break, those of the widest column first; cells of at most WHOLE columns and the cells of `whole` never break,
   those of the first column only between words;
3. the columns of `optional` are left out, the last first, and a line names them;
4. each row becomes a block of lines, `column  value`, without empty values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from router.runtime.printable import printable

GAP: Final = "  "
EMPTY: Final = "–"
WHOLE: Final = 12
"""Cells of at most this many columns never break."""
NARROWEST: Final = 14
"""A cell that breaks keeps at least this many columns."""
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


class TextTable:
    """Columns and rows of text. A cell that is None or empty is shown as a dash."""

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        whole: Sequence[str] = (),
        optional: Sequence[str] = (),
    ) -> None:
        self.columns = [printable(column) for column in columns]
        self.rows = [[EMPTY if cell is None or cell == "" else printable(str(cell)) for cell in row] for row in rows]
        self._whole = {self.columns.index(name) for name in whole}
        self._optional = [self.columns.index(name) for name in optional]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines for a terminal of this width, or for a pipe."""
        if not console.is_terminal:
            yield from map(_ended, self.plain())
            return
        for line in self._fitted(console, options.max_width):
            yield _ended(line)

    def plain(self) -> Iterator[Text]:
        """Yield a line for the header, and one for each row."""
        widths = [max(map(cell_len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        yield _joined([Text(column, "bold") for column in self.columns], widths)
        for row in self.rows:
            yield _joined([_styled(cell) for cell in row], widths)

    # -- on a terminal
    def _fitted(self, console: Console, width: int) -> Iterator[Text]:
        shown = list(range(len(self.columns)))
        left_out: list[int] = []
        while (widths := self._widths(shown, width)) is None and len(left_out) < len(self._optional):
            left_out.append(self._optional[-1 - len(left_out)])
            shown.remove(left_out[-1])
        if widths is None:
            yield from self._blocks(console, width)
            return
        yield from _broken(console, [Text(self.columns[at], "bold") for at in shown], widths)
        for row in self.rows:
            yield from _broken(console, [_styled(row[at]) for at in shown], widths)
        if left_out:
            names = ", ".join(self.columns[at] for at in sorted(left_out))
            yield Text(f"(too narrow for: {names})", "dim", overflow="fold")

    def _widths(self, shown: Sequence[int], available: int) -> list[int] | None:
        """Return the width of each column that is shown; None if they cannot fit."""
        available -= len(GAP) * (len(shown) - 1)
        cells = [max((cell_len(row[at]) for row in self.rows), default=0) for at in shown]
        widths = [max(cell, cell_len(self.columns[at])) for at, cell in zip(shown, cells, strict=True)]
        if sum(widths) > available:
            widths = [
                max(cell, *map(cell_len, self.columns[at].split(" "))) for at, cell in zip(shown, cells, strict=True)
            ]
        floors = [
            width if at in self._whole or width <= WHOLE else min(width, self._longest_word() if at == 0 else NARROWEST)
            for at, width in zip(shown, widths, strict=True)
        ]
        if sum(floors) > available:
            return None
        while sum(widths) > available:
            widest = max(range(len(widths)), key=lambda at: (widths[at] > floors[at], widths[at]))
            widths[widest] -= 1
        return widths

    def _longest_word(self) -> int:
        """Return the width of the longest word in the first column."""
        cells = (self.columns[0], *(row[0] for row in self.rows))
        return max(cell_len(word) for cell in cells for word in cell.split(" "))

    def _blocks(self, console: Console, width: int) -> Iterator[Text]:
        name_width = max(map(cell_len, self.columns))
        if width - name_width - len(GAP) < NARROWEST:  # a name and its value below each other
            for number, row in enumerate(self.rows):
                yield from [Text()] if number else []
                for column, cell in _filled(self.columns, row):
                    yield from _broken(console, [Text(f"{column}: {cell}")], [width])
            return
        for number, row in enumerate(self.rows):
            yield from [Text()] if number else []
            for column, cell in _filled(self.columns, row):
                parts = [Text(column, "bold"), _styled(cell)]
                yield from _broken(console, parts, [name_width, width - name_width - len(GAP)])


def _filled(columns: Sequence[str], row: Sequence[str]) -> list[tuple[str, str]]:
    return [(column, cell) for column, cell in zip(columns, row, strict=True) if cell != EMPTY]


def _styled(cell: str) -> Text:
    return Text(cell, STYLES.get(cell, ""))


def _broken(console: Console, cells: Sequence[Text], widths: Sequence[int]) -> Iterator[Text]:
    """Yield the lines of one row whose cells break at `widths`: at spaces, else anywhere."""
    columns = [list(cell.wrap(console, width, overflow="fold")) for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, columns))):
        yield _joined([lines[number] if number < len(lines) else Text() for lines in columns], widths)


def _joined(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    """Return one line, without blanks at its end."""
    line = Text(overflow="ignore", no_wrap=True)
    for cell, width in zip(cells, widths, strict=True):
        cell.rstrip()
        line.append_text(cell)
        line.append(" " * (width - cell.cell_len) + GAP)
    line.rstrip()
    return line


def _ended(line: Text) -> Text:
    line.end = "\n"
    return line
