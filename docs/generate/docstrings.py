"""Docstrings of the fields of a class: the string that follows a field in the source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

from typing_extensions import get_original_bases, is_typeddict


@cache
def of_fields(cls: type) -> dict[str, str]:
    """Return the docstring of each documented field of `cls` and of its bases, on one line."""
    found: dict[str, str] = {}
    for base in reversed((cls, *_bases(cls))):
        if base.__module__.startswith("router."):
            found |= _own(base)
    return found


def _bases(cls: type) -> tuple[type, ...]:
    """Return the bases of a class. A TypedDict has no base class at runtime, and one without a class statement no source."""
    if not is_typeddict(cls):
        return cls.__mro__[1:]
    named = [base for base in get_original_bases(cls) if is_typeddict(base) and not base.__name__.startswith("_")]
    return tuple(further for base in named for further in (base, *_bases(base)))


def _own(cls: type) -> dict[str, str]:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and (docstring := _string(text)):
            found[field.target.id] = one_line(docstring)
    return found


def _string(node: ast.stmt) -> str | None:
    constant = node.value if isinstance(node, ast.Expr) else None
    return constant.value if isinstance(constant, ast.Constant) and isinstance(constant.value, str) else None


def one_line(text: str) -> str:
    """Return `text` without line breaks and indentation."""
    return " ".join(text.split())
