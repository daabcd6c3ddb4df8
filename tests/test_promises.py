"""Every row of promises.py names a test and a guarded line that exist, and every promise of README has rows."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.promises import ROUTES_AND_VERDICTS, TOPICS, Guard
from tests.promises_evidence import EVIDENCE
from tests.promises_outgoing import OUTGOING
from tests.promises_probes import PROBES
from tests.promises_replicas import REPLICAS
from tests.promises_state import STATE
from tests.promises_wire import WIRE
from tests.promises_work import WORK

ROOT: Final = Path(__file__).parent.parent
GUARDS: Final = (*ROUTES_AND_VERDICTS, *EVIDENCE, *PROBES, *REPLICAS, *STATE, *WIRE, *WORK, *OUTGOING)


def in_one_line(text: str) -> str:
    return " ".join(text.split())


@cache
def sources(path: str) -> dict[str, str]:
    """Return the source of each function, class and constant of a file of this checkout, by its qualified name."""
    text = (ROOT / path).read_text()
    lines = text.splitlines()

    def named(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
        for node in body:
            source = in_one_line("\n".join(lines[node.lineno - 1 : node.end_lineno]))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield prefix + node.name, source
                yield from named(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield prefix + node.target.id, source

    return dict(named(ast.parse(text).body, ""))


def missing(guard: Guard) -> str | None:
    """Return what a row names and is not there; None if all of it is."""
    path, _, name = guard.test.partition("::")
    tests, module = ROOT / "tests" / path, ROOT / "router" / guard.module
    if not tests.is_file():
        return f"tests/{path} is no file"
    if not name.rpartition("::")[2].startswith("test_") or name.replace("::", ".") not in sources(f"tests/{path}"):
        return f"tests/{path} has no test {name}"
    if not module.is_file():
        return f"router/{guard.module} is no file"
    source = sources(f"router/{guard.module}").get(guard.name)
    if source is None:
        return f"router/{guard.module} has no {guard.name}"
    if not in_one_line(guard.line) or in_one_line(guard.line) not in source:
        return f"{guard.name} in router/{guard.module} has no {guard.line!r}"
    return None


@pytest.mark.parametrize("promise", dict.fromkeys(guard.promise for guard in GUARDS))
def test_what_a_row_names_exists(promise: int | str) -> None:
    found = [missing(guard) for guard in GUARDS if guard.promise == promise]
    assert [what for what in found if what is not None] == []


def test_every_promise_has_rows_and_every_row_a_promise() -> None:
    section = (ROOT / "README.md").read_text().partition("\n## What it promises\n")[2].partition("\n## ")[0]
    promised = [int(number) for number in re.findall(r"^\| (\d+) \| ", section, re.MULTILINE)]
    assert promised == list(range(1, 11))
    assert {guard.promise for guard in GUARDS} == {*promised, *TOPICS}


def test_no_row_is_there_twice() -> None:
    keys = Counter((guard.promise, guard.test, guard.module, guard.name, in_one_line(guard.line)) for guard in GUARDS)
    assert [key for key, number in keys.items() if number > 1] == []


GOOD: Final = Guard(3, "shm/test_route_cell.py::test_a_generation_that_does_not_grow_changes_nothing",
                    "shm/route_cell.py", "RouteCell.publish", "route.generation <= present.generation")  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, None),
        ({"line": "route.generation\n        <=   present.generation"}, None),
        ({"name": "RouteCell"}, None),
        ({"test": "shm/test_nothing.py::test_it"}, "is no file"),
        ({"test": "shm/test_route_cell.py::test_nothing"}, "has no test"),
        ({"test": "shm/test_route_cell.py"}, "has no test"),
        ({"module": "shm/nothing.py"}, "is no file"),
        ({"name": "RouteCell.nothing"}, "has no RouteCell.nothing"),
        ({"name": "publish"}, "has no publish"),
        ({"name": "RouteCell.read"}, "has no 'route.generation"),
        ({"line": "route.generation < present.generation"}, "has no 'route.generation"),
        ({"line": " "}, "has no ' '"),
    ],
)
def test_what_is_not_there_is_told(changed: dict[str, str], what: str | None) -> None:
    members = {name: getattr(GOOD, name) for name in ("promise", "test", "module", "name", "line")}
    found = missing(Guard(**{**members, **changed}))
    assert found is None if what is None else what in str(found)
