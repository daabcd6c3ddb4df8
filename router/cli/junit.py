"""The results of a check as JUnit XML for CI systems. XML 1.0 forbids control characters, so they are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime.printable import printable


def document(suite: str, results: Sequence[dict[str, Any]], titles: dict[str, str]) -> bytes:
    """Return the report: a test case for each result. `titles` are readable names of the cases."""
    counts = {state: sum(result["state"] == state for result in results) for state in ("fail", "skipped")}
    root = ElementTree.Element("testsuites")
    attributes = {"tests": str(len(results)), "failures": str(counts["fail"]), "skipped": str(counts["skipped"])}
    made = ElementTree.SubElement(root, "testsuite", {"name": printable(suite), "errors": "0", **attributes})
    for result in results:
        seconds = f"{(result['first_byte_ms'] or 0.0) / 1000:.3f}"
        name = " ".join(part for part in (result["id"], titles.get(result["id"], "")) if part)
        case = ElementTree.SubElement(
            made, "testcase", {"classname": printable(suite), "name": printable(name), "time": seconds}
        )
        if result["state"] != "pass":
            kind = "failure" if result["state"] == "fail" else "skipped"
            problems = [printable(problem) for problem in result["problems"]]
            element = ElementTree.SubElement(case, kind, {"message": problems[0] if problems else ""})
            if kind == "failure":
                element.text = "\n".join(problems)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def write(path: str, report: bytes) -> None:
    """Write the report; raise CommandError naming the file if that is not possible."""
    try:
        Path(path).write_bytes(report)
    except OSError as error:
        raise CommandError(CommandCode.JUNIT_UNWRITABLE, f"--junit {path}: {error.strerror}") from None
