"""The table of alarms has every code that is raised, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.control.monitors.alarm_table import ALARMS

ROUTER: Final = Path(__file__).parent.parent.parent.parent / "router"
RAISING: Final = {"up", "down", "RaiseAlarm", "ClearAlarm"}


def raised() -> Iterator[str]:
    """Yield each code that a call raises or ends as a literal or as a constant of its module."""
    for path in ROUTER.rglob("*.py"):
        tree = ast.parse(path.read_text())
        named = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Constant)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                arguments = node.args[1:] if name == "_alarm" else node.args if name in RAISING else []
                code = arguments[0] if arguments else None
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    yield code.value
                elif isinstance(code, ast.Name) and isinstance(named.get(code.id), str):
                    yield str(named[code.id])


def test_every_alarm_that_is_raised_is_in_the_table() -> None:
    found = set(raised())
    assert found - set(ALARMS) == set()
    assert len(found) > 25


def test_every_alarm_of_the_table_is_raised() -> None:
    text = "".join(path.read_text() for path in ROUTER.rglob("*.py") if path.name != "alarm_table.py")
    assert [code for code in ALARMS if f'"{code}"' not in text] == []
