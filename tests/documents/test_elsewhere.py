"""Every command that a page shows is run: those of `console` blocks by test_pages.py, all others as `elsewhere` says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.documents import elsewhere
from tests.documents.pages import ROOT


def test_every_other_command_names_its_test_or_a_reason() -> None:
    shown = elsewhere.all_shown()
    known = [*elsewhere.NOT_RUN, *(command for commands in elsewhere.RUN_BY.values() for command in commands)]
    assert {command: pages for command, pages in shown.items() if command not in known} == {}
    assert set(known) - shown.keys() == set(), "no page shows it any more"
    assert len(known) == len(set(known))


def test_every_named_test_exists() -> None:
    assert [node for node in elsewhere.RUN_BY if not elsewhere.exists(node)] == []


def test_every_file_and_module_of_a_command_exists() -> None:
    missing = []
    for command in elsewhere.all_shown():
        files = re.findall(r"\bbash ([\w/.-]+)|(?:-r|-f) (deploy/[\w/.-]+)", command)
        modules = re.findall(r"/python -m ([\w.]+)", command)
        paths = [path for pair in files for path in pair if path]
        missing += [path for path in paths if not (ROOT / path).is_file()]
        names = [ROOT / name.replace(".", "/") for name in modules]
        missing += [str(name) for name in names if not (name.is_dir() or name.with_suffix(".py").is_file())]
    assert missing == []


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("```sh\none \\\n    two  # why\n# three\n\nfour\n```\n", ["one two", "four"]),
        ("```text\nA=b rollback-router status\na drawing of rollback-router\n```\n", ["A=b rollback-router status"]),
        ("```console\n$ one\n```\n", []),
    ],
)
def test_commands_are_found(text: str, commands: list[str], tmp_path: Path) -> None:
    (page := tmp_path / "page.md").write_text(text)
    assert elsewhere.shown(page) == commands
