"""The commands that the pages name parse: in console blocks, and in code within sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.parser import complaint
from tests.documents.pages import blocks, commands, name_of, pages, without_blocks

NOT_COMMANDS = ("VERSION", "COMMAND")
"""What stands behind the program's name in log lines and in a form."""


def named(page: Path) -> Iterator[str]:
    """Yield each command of a page, up to a comment, a pipe or another operator of the shell."""
    text = page.read_text()
    console = (command for block in blocks(text) if block.language == "console" for command in commands(block))
    lines = [line for command in console for line in command.text.split("\n")]
    lines += re.findall(r"`(rollback-router [^`\n]+)`", without_blocks(text))
    for line in lines:
        if line.startswith("rollback-router ") and line.split()[1].rstrip(":") not in NOT_COMMANDS:
            yield re.split(r"\s+(?:#|&|\||>|2>|;)", line)[0]


@pytest.mark.parametrize("page", [page for page in pages() if page.parent.name != "reference"], ids=name_of)
def test_every_command_of_a_page_parses(page: Path) -> None:
    found = {command: complaint(shlex.split(command)[1:]) for command in named(page)}
    assert {command: why for command, why in found.items() if why} == {}
