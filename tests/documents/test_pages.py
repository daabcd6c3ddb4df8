"""How the commands of a page are read, and their outputs compared."""

from __future__ import annotations

import pytest

from tests.documents.pages import Command, blocks, commands
from tests.documents.run import matches, starts


def test_a_console_block_is_read_as_commands_with_their_outputs() -> None:
    block = blocks("text\n\n```console\n$ one \\\n    two\nout\n$ cat <<'EOF'\n$ not a command\nEOF\n$ three\n```\n")[0]
    assert commands(block) == [
        Command(4, "one \\\n    two", "out\n"),
        Command(7, "cat <<'EOF'\n$ not a command\nEOF", ""),
        Command(10, "three", ""),
    ]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a b\n", "a b\n", True),
        ("a …\n", "a long line\n", True),
        ("a …\n", "b\n", False),
        ("a\n…\nz\n", "a\nb\nc\nz\n", True),
        ("a\n…\n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a … c\n", "a b\nc\n", False),
    ],
)
def test_an_ellipsis_stands_for_any_text_of_its_line(shown: str, printed: str, same: bool) -> None:
    assert matches(shown, printed) is same


@pytest.mark.parametrize(
    ("text", "starts_one"),
    [
        ("rollback-router run --config router.toml &", True),
        ("rollback-router run --config router.toml  # exit 4", False),
        ("rollback-router run --config router.toml --take-over &", False),
        ("rollback-router status", False),
    ],
)
def test_a_page_starts_a_router_unless_the_start_is_refused(text: str, starts_one: bool) -> None:
    assert starts(Command(1, text, "")) is starts_one
