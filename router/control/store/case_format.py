"""Cases as JSON: one case in the store or in an answer, many cases in a file that a router exports and a router or CI imports.

The first line of a file describes the file, every other line is one case, so that a diff is readable. An import takes the whole
file or nothing; an error names line and member.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout import json_pointer
from router.rollout.cases.case import NEVER_KEPT, STATUS_PATTERN, Case, Expectation, Request
from router.runtime.printable import printable
from router.runtime.printable_json import json_bytes
from router.runtime.text.plurals import counted

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA: Final = "rollback-router/cases"
SCHEMA_VERSION: Final = 1
CASES_MAX: Final = 10_000
CASE_BYTES_MAX: Final = 1 << 20
FILE_BYTES_MAX: Final = 64 << 20
_METHOD: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,40}")
_TARGET: Final = re.compile(r"(/[!-~]{0,8191}|\*)")
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_FIELD_VALUE: Final = re.compile(r"[\t -~\x80-\U0010ffff]{0,8192}")
_SET_BY_US: Final = frozenset(("content-length", "transfer-encoding", "connection", "expect", "upgrade", "te"))
_STATUS: Final = re.compile(STATUS_PATTERN)


def case_document(case: Case) -> dict[str, Any]:
    """Return a case as JSON data, without the members that have their default."""
    return {"id": case.id, **_without_defaults(case)}


def _without_defaults(part: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if value != default:
            result[field.name] = _without_defaults(value) if isinstance(value, (Request, Expectation)) else value
    return result


def parsed(document: object, place: str = "") -> Case:
    """Return the case of a JSON document; raise Refusal (`case_invalid`) that names `place` and the member."""
    from pydantic import ValidationError

    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if name != "id"}
    try:
        text = orjson.dumps(document)
    except orjson.JSONEncodeError as error:  # deeper than 254, or a whole number of more than 64 bits
        raise _invalid(place, "", f"cannot be kept as JSON: {error}") from None
    try:
        case = _adapter().validate_json(text, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        member = ".".join(str(part) for part in found["loc"])
        problem = "there is no such member" if found["type"] == "unexpected_keyword_argument" else found["msg"]
        raise _invalid(place, member, problem) from None
    if wrong := next(iter(_wrong(case)), None):
        raise _invalid(place, *wrong)
    return case


def unfit(case: Case) -> bool:
    """Return whether `parsed` would refuse `case`."""
    return next(iter(_wrong(case)), None) is not None


@cache
def _adapter() -> TypeAdapter[Case]:
    from pydantic import TypeAdapter  # imported here: it takes 60 ms, and most commands do not need it

    return TypeAdapter(Case)


def _invalid(place: str, member: str, problem: str) -> Refusal:
    where = ": ".join(part for part in (place, member[:120]) if part)
    return Refusal(RefusalCode.CASE_INVALID, f"{where}: {problem[:300]}" if where else problem)


def _wrong(case: Case) -> Iterable[tuple[str, str]]:
    """Yield (member, problem) for each member that is not valid."""
    request, expect = case.request, case.expect
    if not _METHOD.fullmatch(request.method) or request.method in ("CONNECT", "TRACE"):
        yield "request.method", f"{request.method[:40]!r} is no method that is sent"
    if not _TARGET.fullmatch(request.target):
        yield "request.target", f"{request.target[:80]!r} is no path with a query: write it as /v1/score?k=5"
    yield from _wrong_headers(request.headers)
    for name, part in (("request", request), ("expect", expect)):
        if part.body is not None and part.body_base64 is not None:
            yield f"{name}.body_base64", "a body is text (body) or base64, not both"
        try:
            size = len(part.content or b"")
        except (binascii.Error, ValueError):
            yield f"{name}.body_base64", "is not base64"
            continue
        if size > CASE_BYTES_MAX:
            yield f"{name}.body", f"has {size} bytes, at most {CASE_BYTES_MAX} are allowed"
    if not _STATUS.fullmatch(expect.status):
        yield "expect.status", f'{expect.status[:40]!r}: write "no_fault", a class as "2xx", or one as "200"'
    for member in ("latency_ms_max", "relative_tolerance", "absolute_tolerance"):
        value = getattr(expect, member)
        if value is not None and not 0 <= value < 1e12:
            yield f"expect.{member}", f"{value} is not a number from 0 on"
    for path in expect.ignore_paths or ():
        try:
            json_pointer.parse(path, any_depth=True)
        except ValueError as error:
            yield "expect.ignore_paths", str(error)
    for member, length in (("note", 500), ("by", 64)):
        text = getattr(case, member)
        if len(text) > length or printable(text) != text:
            yield member, f"at most {length} printable characters"
    if not 0 <= case.at < 1e11:
        yield "at", f"{case.at} is no time in seconds since 1970"
    if len(orjson.dumps(case.failed)) > 10_000:
        yield "failed", "more than 10000 bytes"


def _wrong_headers(headers: dict[str, str]) -> Iterable[tuple[str, str]]:
    for name, value in headers.items():
        place = f"request.headers.{name[:60]}"
        if not _FIELD_NAME.fullmatch(name):
            yield place, "is no name of a header field"
        elif name.lower() in NEVER_KEPT:
            yield place, "holds credentials, which cases never keep: leave it out"
        elif name.lower() in _SET_BY_US:
            yield place, "is set when the case is sent: leave it out"
        elif not _FIELD_VALUE.fullmatch(value):
            yield place, "has a control character, or more than 8192 characters"


def exported(cases: Iterable[Case], service: str) -> bytes:
    """Return the bytes of a file: a line that describes it, then one line for each case."""
    head = {"schema": SCHEMA, "version": SCHEMA_VERSION, "service": service}
    return b"".join(json_bytes(line, orjson.OPT_APPEND_NEWLINE) for line in (head, *map(case_document, cases)))


def read(path: str) -> bytes:
    """Return the bytes of a file, at most one more than `imported` accepts, so that it refuses a longer file; raise OSError."""
    with open(path, "rb") as opened:
        return opened.read(FILE_BYTES_MAX + 1)


def imported(data: bytes) -> list[Case]:
    """Return the cases of a file; raise Refusal (`case_file_invalid`, `case_invalid`) naming line and member."""
    if len(data) > FILE_BYTES_MAX:
        raise _no_file(f"it has {len(data)} bytes, at most {FILE_BYTES_MAX} are read")
    lines = data.splitlines()
    _check_head(_json(lines[0], 1) if lines else None)
    numbered = [(number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]
    if len(numbered) > CASES_MAX:
        raise _no_file(f"it has {counted(len(numbered), 'case')}, at most {CASES_MAX} are read")
    return [parsed(_json(line, number), f"line {number}") for number, line in numbered]


def _check_head(head: object) -> None:
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        problem = f'line 1: schema: a file of cases begins with {{"schema": "{SCHEMA}", "version": {SCHEMA_VERSION}}}'
        raise _no_file(problem)
    if head.get("version") != SCHEMA_VERSION:
        raise _no_file(
            f"line 1: version: {head.get('version')!r}, and this release reads version {SCHEMA_VERSION}: "
            "export it again with the same release"
        )


def _json(line: bytes, number: int) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _no_file(f"line {number}: is no JSON: {error}") from None


def _no_file(problem: str) -> Refusal:
    return Refusal(RefusalCode.CASE_FILE_INVALID, f"{problem}; nothing was imported")
