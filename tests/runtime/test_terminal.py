"""Text from outside on the console, with and without colours."""

from __future__ import annotations

import io

import pytest
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from router.cli import output
from router.runtime.terminal import PrintableConsole
from tests.hostile_text import HOSTILE, ORDINARY, found_in


def table(*cells: RenderableType) -> Table:
    made = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    made.add_row(*cells)
    return made


SHOWN: dict[str, RenderableType] = {
    "text": HOSTILE,
    "styled": Text(HOSTILE, style="bold"),
    "group": Group(HOSTILE, Text(HOSTILE)),
    "cells": table(HOSTILE),
    "styled cells": table(Text(HOSTILE, style="red")),
    "table of a command": output.table((HOSTILE,), [(HOSTILE,), ("yes",)]),
}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_raw_and_markup_is_text(name: str, terminal: bool) -> None:
    file = io.StringIO()
    console = PrintableConsole(
        file=file, width=400, force_terminal=terminal, color_system="standard" if terminal else None
    )
    console.print(SHOWN[name], soft_wrap=True)
    assert found_in(file.getvalue(), terminal=terminal) == []
    assert "[bold]x[/x]:bomb:" in file.getvalue()


def test_a_live_table_is_printable_too() -> None:
    file = io.StringIO()
    with Live(table(HOSTILE), console=PrintableConsole(file=file, width=400), auto_refresh=False):
        pass
    assert found_in(file.getvalue(), terminal=True) == []


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_stay(text: str) -> None:
    file = io.StringIO()
    PrintableConsole(file=file, width=400).print(table(text), Text(text))
    assert file.getvalue().count(text) >= 2


def test_a_text_is_one_line_and_cannot_forge_the_next_one(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("refused\nnext: rm -rf")
    output.show("refused\nnext: rm -rf", output.table(("what",), [["a\nb"]]))
    assert "\nnext" not in capsys.readouterr().out


def test_json_is_ascii_and_has_no_delete(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_json({"told": HOSTILE + "ä\x7f"})
    assert capsys.readouterr().out.rstrip("\n").isprintable()
