"""Compiled modules are declared: a `.pxd` beside a module names every attribute of its classes.

Without it, the compiled class would refuse the attribute at run time. Here it is seen without a compiler.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROXY = Path(__file__).parent.parent / "router" / "proxy"
DECLARED = sorted(str(path.relative_to(PROXY).with_suffix("")) for path in PROXY.rglob("*.pxd"))
CLASS = re.compile(r"^cdef class (\w+):\n((?:[ \t]+\S.*\n|\n)*)", re.MULTILINE)
ATTRIBUTE = re.compile(r"^    cdef (?:public |readonly )?[\w \[\]:]+?(\w+)$", re.MULTILINE)
METHOD = re.compile(r"^    c(?:p?)def (?:[\w ]+ )?(\w+)\(", re.MULTILINE)


def of_source(module: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return the attributes and the methods of each class."""
    found = {}
    for node in ast.parse((PROXY / f"{module}.py").read_text()).body:
        if isinstance(node, ast.ClassDef):
            stores = {
                attribute.attr
                for attribute in ast.walk(node)
                if isinstance(attribute, ast.Attribute) and isinstance(attribute.ctx, ast.Store)
                if isinstance(attribute.value, ast.Name) and attribute.value.id == "self"
            }
            # The fields of a dataclass are its annotations.
            annotated = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
            stores |= {target.id for target in annotated if isinstance(target, ast.Name)}
            found[node.name] = (stores, {part.name for part in node.body if isinstance(part, ast.FunctionDef)})
    return found


def of_declaration(module: str) -> dict[str, tuple[set[str], set[str]]]:
    text = (PROXY / f"{module}.pxd").read_text()
    return {name: (set(ATTRIBUTE.findall(body)), set(METHOD.findall(body))) for name, body in CLASS.findall(text)}


@pytest.mark.parametrize("module", DECLARED)
def test_every_attribute_is_declared_and_every_declaration_has_its_source(module: str) -> None:
    declared = of_declaration(module)
    source = of_source(module)
    for name, (attributes, methods) in declared.items():
        stores, defined = source[name]
        if "__dict__" not in attributes:  # one that may have more than is declared
            assert stores - attributes == set()
        assert attributes - {"__dict__"} - stores == set()
        assert methods - defined == set()


def test_there_is_nothing_compiled_in_the_tree() -> None:
    """A library that lies beside its source would be imported instead of it, and would not change with it."""
    found = [path.name for ending in ("so", "c", "pyd") for path in PROXY.parent.rglob(f"*.{ending}")]
    assert found == []
