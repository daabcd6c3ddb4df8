"""The catalogue of codes: no code is dead, and each adapter has a number for each code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from docs.generate.settings_tables import tables
from router.cli.failure import NEXT
from router.control.admin.problems import STATUS
from router.errors.codes import CommandCode, RefusalCode, StartCode
from router.runtime import exit_codes

ROUTER: Final = Path(__file__).parents[2] / "router"
KINDS: Final = (RefusalCode, CommandCode, StartCode)


def used(kind: str) -> set[str]:
    """Return the members of the enum `kind` that the source names."""
    source = "".join(path.read_text() for path in ROUTER.rglob("*.py"))
    return set(re.findall(rf"\b{kind}\.([A-Z_]+)", source))


@pytest.mark.parametrize("kind", KINDS)
def test_every_code_is_used_and_named_as_it_is_written(kind: type[RefusalCode | CommandCode | StartCode]) -> None:
    assert used(kind.__name__) == set(kind.__members__)
    assert [name for name, code in kind.__members__.items() if code != name.lower()] == []


def test_every_code_has_a_number_in_each_adapter() -> None:
    assert STATUS.keys() == exit_codes.REFUSALS.keys() == set(RefusalCode)
    assert exit_codes.COMMANDS.keys() == set(CommandCode)
    assert exit_codes.STARTS.keys() == set(StartCode)


@pytest.mark.parametrize("kind", KINDS)
def test_every_meaning_is_short(kind: type[RefusalCode | CommandCode | StartCode]) -> None:
    assert [code for code in kind if not (code.meaning.endswith(".") and 15 < len(code.meaning) <= 130)] == []


def test_every_setting_that_a_meaning_names_exists() -> None:
    """A setting of a service is named without `services.NAME.`"""
    names = {f"{table.place}.{setting.name}" for table in tables() for setting in table.settings}
    known = {name.removeprefix("services.NAME.") for name in names} | {table.place for table in tables()}
    named = {word for kind in KINDS for code in kind for word in re.findall(r"[a-z_]+\.[a-z_]+", code.meaning)}
    assert "admin.allowed_hosts" in named
    assert named - known == {"openapi.json"}


@pytest.mark.parametrize(
    ("added", "why"),
    [("no_standbye", "no_standbye"), ("no_standby", "no_standby stands twice"), ("", "no_standby is missing")],
)
def test_a_table_with_a_wrong_code_is_refused(added: str, why: str) -> None:
    others = " ".join(code for code in RefusalCode if added or code != "no_standby")
    with pytest.raises(ValueError, match=why):
        RefusalCode.table({1: others, 2: added})


def test_every_next_command_belongs_to_a_code() -> None:
    assert set(NEXT) - {code for kind in KINDS for code in kind} == set()
