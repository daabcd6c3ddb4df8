"""What the demo shows while it runs."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from router.demo.display import Display, table

NEW = {
    "version": "demo-v2",
    "role": "active",
    "state": "active",
    "windows": {"10s": {"requests_per_s": 150.04, "p50_ms": 1.5, "p99_ms": None}},
    "totals": {"outcomes": {"ok": 70, "server_error": 3, "truncated": 1, "client_gone": 2}},
    "work": [{"inference": True, "useful": 61}, {"inference": False, "useful": 9}],
}
OLD = {
    "version": "demo-v1",
    "role": "standby",
    "state": "standby",
    "windows": {"10s": None},
    "totals": {"outcomes": {"ok": 9}},
}


def rows(drawn: Any) -> list[list[str]]:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(drawn)
    lines = [line.strip("│ ").split("│") for line in capture.get().splitlines() if "demo-v" in line]
    return [[cell.strip() for cell in row] for row in lines]


def test_the_table_shows_a_window_and_says_nothing_where_nothing_is_known() -> None:
    assert rows(table([NEW, OLD])) == [
        ["demo-v2", "active", "active", "150.0", "61", "4", "1.5", "–"],
        ["demo-v1", "standby", "standby", "–", "0", "0", "–", "–"],
    ]


def test_a_version_that_has_left_its_slot_stays_in_the_picture_with_its_errors() -> None:
    display = Display(Console(), headless=True)
    display.show({"targets": [NEW, OLD]})
    display.show({"targets": [{**OLD, "role": "active", "state": "active"}]})
    assert rows(display.render()) == [
        ["demo-v1", "active", "active", "–", "0", "0", "–", "–"],
        ["demo-v2", "–", "retired", "–", "61", "4", "–", "–"],
    ]


@pytest.mark.parametrize(("nothing_useful", "line"), [(True, "nothing useful for 12 s"), (False, "verdict: pass")])
def test_a_version_without_a_useful_answer_is_not_shown_as_good(nothing_useful: bool, line: str) -> None:
    display = Display(Console(), headless=True)
    progress = {"nothing_useful": nothing_useful, "since_s": 12.3}
    display.show({"targets": [NEW], "verdict": {"state": "pass"}, "progress": progress})
    console = Console(width=100)
    with console.capture() as capture:
        console.print(display.render())
    assert capture.get().splitlines()[-1] == line


def test_without_a_terminal_every_act_is_a_line() -> None:
    console = Console(width=20)
    with console.capture() as capture, Display(console, headless=True) as display:
        display.announce("a sentence that is longer than the line")
    assert capture.get() == "a sentence that is longer than the line\n"


def test_a_note_is_printed_once_and_stays_below_the_table() -> None:
    console = Console(width=100)
    with console.capture() as capture, Display(console, headless=True) as display:
        display.note("Dashboard: http://127.0.0.1:8081/")
        display.announce("a step")
    assert capture.get().splitlines() == ["Dashboard: http://127.0.0.1:8081/", "a step"]
    with console.capture() as capture:
        console.print(display.render())
    assert capture.get().splitlines()[-1] == "Dashboard: http://127.0.0.1:8081/"
