"""The forms of a hint; tests/cli/test_hints.py parses every hint of the program."""

from __future__ import annotations

import pytest

from router.runtime.text.hints import Hints, without_secret


@pytest.mark.parametrize(
    ("hints", "template", "text"),
    [
        (Hints(), "`status`   (shows it)", "rollback-router status   (shows it)"),
        (Hints("b"), "`status`", "rollback-router status --service b"),
        (Hints("b"), "`approve ID`", "rollback-router approve ID"),
        (Hints("b", ("--admin", "http://h:1")), "`approve ID`", "rollback-router approve ID --admin http://h:1"),
        (Hints("b", ("--admin", "http://h:1")), "`run --blue URL`", "rollback-router run --blue URL"),
        (Hints("", ("--admin", "http://h:1")), "`config check`", "rollback-router config check"),
        (Hints("", ("--admin", "http://h:1")), "`config show --running`",
         "rollback-router config show --running --admin http://h:1"),
        (Hints("", ("--admin", "http://h:1")), "`doctor --admin URL`", "rollback-router doctor --admin URL"),
        (Hints(values={"ID": "a b"}), "`approve ID`, or: `status`", "rollback-router approve 'a b', or: rollback-router status"),
        (Hints(typed=("promote", "v 1", "--token=x")), "`… --override WHY`",
         "rollback-router promote 'v 1' --token=TOKEN --override WHY"),
    ],
)  # fmt: skip
def test_forms(hints: Hints, template: str, text: str) -> None:
    assert hints.text(template) == text


def test_a_token_is_never_repeated() -> None:
    assert without_secret(["status", "--token", "x", "--json", "--token=y"]) == [
        "status", "--token", "TOKEN", "--json", "--token=TOKEN",
    ]  # fmt: skip
