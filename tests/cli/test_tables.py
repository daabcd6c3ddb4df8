"""Widths are measured by an independent rule: `unicodedata` gives the width of every character."""

from __future__ import annotations

import io
import unicodedata

import pytest

from router.cli import output
from tests.texts import golden

COLUMNS = ("version", "state", "reason", "note")
ROWS = [
    (
        "fraud-v8-with-a-long-label",
        "active",
        "9 of 10 requests failed within the last 10 s, and the limit is 2 of 10",
        "x",
    ),
    ("模型-八", "ready", "e\u0301" * 30, None),
    ("v1", "fail", "", "https://example.com/" + "a" * 90),
]
WHOLE = ["fraud-v8-with-a-long-label", "模型-八", "active", "ready", "fail"]


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def shown(monkeypatch: pytest.MonkeyPatch, width: int, stream: io.StringIO | None = None, **environment: str) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", stream := stream or Terminal())
    output.show(output.table(COLUMNS, ROWS, ("state",), ("note",)))
    return stream.getvalue()


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_a_table_fits_the_terminal_and_loses_nothing_important(
    monkeypatch: pytest.MonkeyPatch, width: int, term: str
) -> None:
    text = shown(monkeypatch, width, TERM=term)
    assert [line for line in text.splitlines() if columns(line) > width] == []
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    if width >= 60:
        assert [cell for cell in WHOLE if cell not in text] == []
    assert "\x1b" not in text


@pytest.mark.parametrize(("width", "left_out"), [(60, True), (100, False)])
def test_an_optional_column_is_left_out_before_rows_become_blocks(
    monkeypatch: pytest.MonkeyPatch, width: int, left_out: bool
) -> None:
    text = shown(monkeypatch, width)
    assert ("(too narrow for: note)" in text) is left_out
    assert text.splitlines()[0].startswith("version  ")


def test_rows_become_blocks_on_a_terminal_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, 40)
    assert text.startswith(golden("cli.table_in_blocks"))
    assert "\n\nversion  模型-八\nstate    ready\n" in text
    assert "–" not in text  # an empty value has no line


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1", "NO_COLOR": ""}, {"TERM": "dumb"}])
def test_a_pipe_gets_each_row_in_one_line_with_whole_values(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    text = shown(monkeypatch, 20, io.StringIO(), **environment)
    header, *lines = text.splitlines()
    assert len(lines) == len(ROWS)
    assert [cell for row in ROWS for cell in row if cell and cell not in text] == []
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
    start = columns(header[: header.index("state")])
    assert [
        columns(line[: line.index(state)]) for line, state in zip(lines, ("active", "ready", "fail"), strict=True)
    ] == [start] * 3


def test_what_is_not_printable_is_escaped_before_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", stream := Terminal())
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    output.show(output.table(("version", "state"), [("v1\x1b[2J\n\u202e", "active")]))
    assert stream.getvalue().splitlines()[1] == "v1\\u001b[2J\\n\\u202e  active"


def test_a_table_without_rows_has_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setenv("TERM", "dumb")
        output.show(output.table(("a", "b"), []))
        assert stream.getvalue() == "a  b\n"
