"""The catalogue of faults names every case, and every test that it names exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.fault_catalogue import CASES, Case
from tests.fault_traps import TRAPS

HERE = Path(__file__).parent
ALL = {f"case {number}": case for number, case in CASES.items()} | {f"trap {n}": case for n, case in TRAPS.items()}


@cache
def names_in(path: str) -> tuple[frozenset[str], str]:
    """Return the names of the tests in a file, and its text."""
    text = (HERE / path).read_text()
    found = set()
    for node in ast.parse(text).body:
        functions = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        names = [one.name for one in functions if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
        found |= {prefix + name for name in names if name.startswith("test_")}
    return frozenset(found), text


def test_every_number_is_there() -> None:
    assert list(CASES) == list(range(1, 45))
    assert list(TRAPS) == list(range(1, 16))


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
def test_what_it_names_exists(case: Case) -> None:
    assert case.tests or case.note
    for node in case.tests:
        path, _, rest = node.partition("::")
        name, _, ident = rest.partition("[")
        names, text = names_in(path)
        assert name in names, node
        assert not ident or f'"{ident}' in text, node
