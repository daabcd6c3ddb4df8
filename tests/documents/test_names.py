"""The documents name what exists: files, modules, classes and functions of this checkout."""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from docs.generate.markdown import GENERATED
from tests.documents.pages import anchors

ROOT: Final = Path(__file__).parent.parent.parent
FOLDERS: Final = ("router", "tests", "benchmarks", "deploy", "docs")
PAGES: Final = tuple(
    sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "docs").rglob("*.md")
        if not path.read_text().startswith(GENERATED)
    )
)
"""The pages that are written by hand."""
DOCUMENTS: Final = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "THREATS.md", "benchmarks/README.md"),
    *PAGES,
)
FOR_DEVELOPERS: Final = ("CONTRIBUTING.md", *(page for page in PAGES if "architecture/" in page or "decisions" in page))

CODE: Final = re.compile(r"```.*?```|`([^`]+)`", re.DOTALL)
FILE: Final = re.compile(r"[\w*./-]*[\w*]\.(?:py|pxd)")
FOLDER: Final = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*[\w/]")
MODULE: Final = re.compile(r"router(?:\.[a-z_]\w*)+")
CLASS: Final = re.compile(r"([A-Z][a-z]+[A-Z]\w*)(?:\.(\w+))?(?:\(\))?")
FUNCTION: Final = re.compile(r"([a-z_]+)\.([a-z_]+)(?:\(\))?")

REFERENCE: Final = re.compile(r"\b(docs/[\w/-]+\.md)(?:#([\w-]+))?")

NOT_OURS: Final = {"DefaultLimitNOFILE", "LimitNOFILE", "MinDataRate", "PrivateNetwork"}
"""Names of other programs that look like classes."""
OF_USERS: Final = {"router.py", "typing_extensions.py"}
"""Files that the documents place in a user's working directory."""


def code_of(document: str) -> list[str]:
    """Return what stands in backticks in a document, without the blocks of several lines."""
    text = (ROOT / document).read_text()
    return [" ".join(found.group(1).split()) for found in CODE.finditer(text) if found.group(1)]


@cache
def files() -> frozenset[str]:
    """Return the paths of all files and folders of this checkout that documents may name."""
    found = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*")}
    return frozenset(name for name in found if "__pycache__" not in name)


@cache
def definitions() -> dict[str, set[str]]:
    """Return for each class and each module (by its last name) of router/ and tests/ the names that it defines or uses."""
    found: dict[str, set[str]] = {}
    for path in (path for folder in ("router", "tests") for path in (ROOT / folder).rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        named = sorted(
            (node.lineno, name) for node in nodes if (name := _name(node)) and isinstance(node, ast.stmt | ast.expr)
        )
        lines = [line for line, _ in named]
        found.setdefault(path.stem, set()).update(name for _, name in named)
        for node in (node for node in nodes if isinstance(node, ast.ClassDef)):
            inside = named[bisect_left(lines, node.lineno) : bisect_right(lines, node.end_lineno or 0)]
            found.setdefault(node.name, set()).update(name for _, name in inside)
    return found


def _name(node: ast.AST) -> str:
    """Return the name that a node defines or uses; empty for other nodes."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_file(name: str) -> bool:
    """Whether a file has this path, or a path that ends with it; `*` matches as in a shell."""
    return name in OF_USERS or any(fnmatch(path, name) or fnmatch(path, f"*/{name}") for path in files())


def is_module(name: str) -> bool:
    """Whether this is a module of router/, or something that a module defines."""
    path, _, last = name.replace(".", "/").rpartition("/")
    return any(f"{name.replace('.', '/')}{end}" in files() for end in (".py", "")) or (
        f"{path}.py" in files() and last in definitions()[path.rpartition("/")[2]]
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    named = {name for code in code_of(document) for name in FILE.findall(code)}
    assert sorted(name for name in named if not is_file(name)) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_folder_and_module_that_a_document_names_exists(document: str) -> None:
    folders = {found.rstrip("/") for code in code_of(document) for found in FOLDER.findall(code)}
    assert sorted(name for name in folders if name not in files()) == []
    modules = {word for code in code_of(document) for word in code.split() if MODULE.fullmatch(word)}
    modules -= {name for name in modules if name.endswith((".py", ".toml"))}
    assert sorted(name for name in modules if not is_module(name)) == []


@pytest.mark.parametrize("document", FOR_DEVELOPERS)
def test_every_class_and_function_that_a_document_names_exists(document: str) -> None:
    missing = []
    for code in code_of(document):
        found = CLASS.fullmatch(code) or FUNCTION.fullmatch(code)
        if found is None or found.group(1) in NOT_OURS:
            continue
        owner, member = found.groups()
        if CLASS.fullmatch(code) and (owner not in definitions() or (member and member not in definitions()[owner])):
            missing.append(code)
        if FUNCTION.fullmatch(code) and owner in definitions() and member not in {*definitions()[owner], "py"}:
            missing.append(code)
    assert missing == []


def test_every_page_and_heading_that_the_code_names_exists() -> None:
    """Docstrings refer to the pages: `docs/decisions.md#the-mark`."""
    missing = []
    for source in sorted((ROOT / "router").rglob("*.py")):
        for page, anchor in REFERENCE.findall(source.read_text()):
            found = anchors((ROOT / page).read_text()) if (ROOT / page).exists() else None
            if found is None or (anchor and anchor not in found):
                missing.append(f"{source.relative_to(ROOT)}: {page}#{anchor}")
    assert missing == []
