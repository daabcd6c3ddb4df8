"""The table of `X-Router-Error` has every code that the data plane answers with, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from router.proxy.http1.error_codes import ERROR_CODES
from router.shm.layout import REFUSED_ANSWERS

PROXY: Final = Path(__file__).parent.parent / "router" / "proxy"
ANSWERS: Final = {"reply", "answer", "_fail", "request_aborted", "DownstreamError", "_refuse"}
BROKEN: Final = {"UpstreamError", "ChunkError"}


def constants(node: ast.expr) -> list[object]:
    """The values that an argument may have; a condition's own constants are not among them."""
    if isinstance(node, ast.IfExp):
        return [*constants(node.body), *constants(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) else []


def calls() -> Iterator[tuple[str, list[object]]]:
    for path in PROXY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in ANSWERS | BROKEN:
                    yield name, [value for argument in node.args for value in constants(argument)]


def found() -> Iterator[tuple[str, int]]:
    """Yield (code, status) of every answer whose code is written in the call. Without a status it is 0."""
    for _, values in calls():
        codes = [
            value
            for value in values
            if isinstance(value, str) and value.isascii() and value.replace("_", "a").isalpha()
        ]
        statuses = [value for value in values if isinstance(value, int) and 400 <= value < 600]
        for code in codes[:1]:
            yield from ((code, status) for status in statuses or [0])


def test_every_code_of_an_answer_is_in_the_table_with_its_status() -> None:
    unknown = {
        (code, status)
        for code, status in found()
        if code not in REFUSED_ANSWERS  # the cause of a 502, which has a code of its own
        if code not in ERROR_CODES or (status and status not in ERROR_CODES[code].statuses)
    }
    assert unknown == set()
    assert len({code for code, _ in found()}) > 20


def test_every_cause_of_a_refused_answer_is_used_and_no_other() -> None:
    source = "".join(path.read_text() for path in PROXY.rglob("*.py"))
    assert [cause for cause in REFUSED_ANSWERS if f'"{cause}"' not in source] == []
    assert {code for code, _ in found() if code.startswith("response_")} - ERROR_CODES.keys() <= set(REFUSED_ANSWERS)


def test_every_code_of_the_table_is_answered() -> None:
    text = "".join(path.read_text() for path in PROXY.rglob("*.py") if path.name != "error_codes.py")
    assert [code for code in ERROR_CODES if f'"{code}"' not in text] == []
