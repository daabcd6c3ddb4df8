"""Decides whether the answer of a version passes a case.

A case passes if its answer is no fault (or has the expected status), comes within the time limit, and, with `equal`, equals the
recorded answer: JSON by value, numbers within a tolerance, without `ignore_paths`; other bodies byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import isclose, isnan
from typing import TYPE_CHECKING, Any, Final

import orjson

from router.rollout import json_pointer
from router.rollout.cases.case import NO_FAULT
from router.rollout.json_pointer import covers
from router.rollout.text import shorten
from router.runtime.text.plurals import counted

if TYPE_CHECKING:
    from router.rollout.cases.case import Case, Expectation

PROBLEMS_MAX: Final = 8

_UNAUTHORIZED: Final = (401, 403, 407)

_RECORDED: Final = ", recorded "

_DIFFERS: Final = "it differs from the recorded answer"


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """The answer of a version. `error`: why there is no complete answer (`connect_failed: …`), else ""; `complete` is false if
    only a part of the body was read. `body` is without its Content-Encoding; `unreadable` is that encoding if it is unknown.
    """

    status: int = 0
    first_byte_ms: float = 0.0
    body: bytes = b""
    complete: bool = True
    error: str = ""
    content_type: str = ""
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class ComparisonLimits:
    """The service's settings, for members that a case leaves out."""

    latency_ms_max: float | None = None
    equal: bool = False
    relative_tolerance: float = 1e-3
    absolute_tolerance: float = 1e-6
    ignore_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """`state` is `pass`, `fail` or `skipped` (the answer proves nothing); `problems`: the reasons."""

    id: str
    state: str
    problems: tuple[str, ...] = ()
    status: int = 0
    first_byte_ms: float = 0.0

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return plain data; without `full` no values of the answer or the recorded one."""
        problems = (
            self.problems if full else tuple(_DIFFERS if _RECORDED in problem else problem for problem in self.problems)
        )
        return {
            "id": self.id,
            "state": self.state,
            "problems": list(problems),
            "status": self.status or None,
            "first_byte_ms": round(self.first_byte_ms, 3) if self.status else None,
        }


def judge_answer(case: Case, answer: CaseAnswer, limits: ComparisonLimits, complaint: str | None = None) -> Result:
    """Return whether `answer` is good enough for `case`; `complaint`: the violation that the service's validators found."""
    if not answer.error and answer.status in _UNAUTHORIZED and _lacks_credentials(case, answer.status):
        problem = f"status {answer.status}: it requires credentials, which cases never hold"
        return Result(case.id, "skipped", (problem,), answer.status, answer.first_byte_ms)
    found = chain(_problems(case.expect, answer, limits), [f"invalid: {complaint}"] if complaint else [])
    problems = tuple(islice(found, PROBLEMS_MAX))
    return Result(case.id, "fail" if problems else "pass", problems, answer.status, answer.first_byte_ms)


def _lacks_credentials(case: Case, status: int) -> bool:
    """Whether the answer may be due to the credentials that the captured request had, and the case has not."""
    return case.expect.status == NO_FAULT or (case.captured and case.expect.status != str(status))


def _problems(expect: Expectation, answer: CaseAnswer, limits: ComparisonLimits) -> Iterator[str]:
    if answer.error:
        yield answer.error
        return
    if wrong := _status_problem(expect.status, answer.status):
        yield wrong
        return
    limit_ms = limits.latency_ms_max if expect.latency_ms_max is None else expect.latency_ms_max
    if limit_ms is not None and answer.first_byte_ms > limit_ms:
        yield f"the first byte came after {answer.first_byte_ms:.0f} ms, and {limit_ms:g} are allowed"
    recorded = expect.content
    if recorded is not None and (limits.equal if expect.equal is None else expect.equal):
        yield from _differences(recorded, answer, expect, limits)


def _status_problem(expected: str, status: int) -> str | None:
    if expected == NO_FAULT:
        if status == 429:
            return "status 429: it had no room for the request; check again"
        return f"status {status}, expected below 500" if status >= 500 else None
    fits = expected == str(status) or (expected.endswith("xx") and expected[0] == str(status)[0])
    return None if fits else f"status {status}, expected {expected}"


def _differences(recorded: bytes, answer: CaseAnswer, expect: Expectation, limits: ComparisonLimits) -> Iterator[str]:
    if not answer.complete:
        yield f"the answer is longer than {len(answer.body)} bytes and is not compared"
        return
    if answer.unreadable:
        yield f"the answer has the Content-Encoding {shorten(answer.unreadable, 40, kept=40)!r} and cannot be compared"
        return
    try:
        expected, found = orjson.loads(recorded), orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        if recorded != answer.body:
            yield f"the answer ({len(answer.body)} bytes) is not the recorded one ({len(recorded)} bytes)"
        return
    yield from differences(
        expected,
        found,
        limits.relative_tolerance if expect.relative_tolerance is None else expect.relative_tolerance,
        limits.absolute_tolerance if expect.absolute_tolerance is None else expect.absolute_tolerance,
        limits.ignore_paths if expect.ignore_paths is None else expect.ignore_paths,
    )


def differences(
    expected: Any, found: Any, relative: float, absolute: float, ignore_paths: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the differences of two JSON values as text. Numbers are equal within `relative` (of the larger) or `absolute`."""
    ignored = [json_pointer.parse(path, any_depth=True) for path in ignore_paths]
    stack: list[tuple[tuple[str, ...], Any, Any]] = [((), expected, found)]
    while stack:
        place, left, right = stack.pop()
        if any(covers(path, place) for path in ignored):
            continue
        if isinstance(left, dict) and isinstance(right, dict):
            yield from _missing(place, left, right, ignored)
            stack.extend(((*place, name), left[name], right[name]) for name in reversed(left) if name in right)
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                yield f"{_place_text(place)}: {counted(len(right), 'item')}, recorded {len(left)}"
            pairs = list(enumerate(zip(left, right, strict=False)))
            stack.extend(((*place, str(number)), a, b) for number, (a, b) in reversed(pairs))
        elif not _equal(left, right, relative, absolute):
            yield f"{_place_text(place)}: {_value_text(right)}{_RECORDED}{_value_text(left)}"


def _missing(
    place: tuple[str, ...], left: dict[str, Any], right: dict[str, Any], ignored: list[tuple[str, ...]]
) -> Iterator[str]:
    for name in sorted(left.keys() ^ right.keys()):
        inner = (*place, name)
        if not any(covers(path, inner) for path in ignored):
            yield f"{_place_text(inner)}: {'is missing' if name in left else 'is new'}"


def _equal(left: Any, right: Any, relative: float, absolute: float) -> bool:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (left, right))
    if not numbers:
        return type(left) is type(right) and bool(left == right)
    return isclose(left, right, rel_tol=relative, abs_tol=absolute) or (isnan(left) and isnan(right))


def _place_text(place: Sequence[str]) -> str:
    return ".".join(place)[:120] or "the whole answer"


def _value_text(value: Any) -> str:
    return shorten(orjson.dumps(value).decode(), 40, kept=40)
