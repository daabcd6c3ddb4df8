"""A captured or hand-written request that must work in the next version, and what "works" means.

A case passes if its answer is no fault (or has the status that is expected), comes within the time, and, where that is asked
for, equals the recorded answer: JSON by value, numbers within a tolerance, some places left out; anything else byte by byte.
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

if TYPE_CHECKING:
    from router.rollout.cases.case import Case, Expectation

PROBLEMS_MAX: Final = 8

_CREDENTIALS_WANTED: Final = (401, 403, 407)

_RECORDED: Final = ", recorded "

_DIFFERS: Final = "it differs from the recorded answer"


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """What a version answered. `error` says why there is no whole answer (`connect_failed: …`), "" if there is one;
    `complete` is false for a body longer than what was read of it.
    """

    status: int = 0
    first_byte_ms: float = 0.0
    body: bytes = b""
    complete: bool = True
    error: str = ""
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class ComparisonLimits:
    """What the service's settings say for cases that do not say it themselves."""

    latency_ms_max: float | None = None
    equal: bool = False
    relative_tolerance: float = 1e-3
    absolute_tolerance: float = 1e-6
    ignore_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """`state` is `pass`, `fail` or `skipped` (it proves nothing either way); `problems` say why, the first one first."""

    id: str
    state: str
    problems: tuple[str, ...] = ()
    status: int = 0
    first_byte_ms: float = 0.0

    def as_dict(self, *, full: bool = True) -> dict[str, Any]:
        """Return it as plain data; without `full` nothing of what was answered or recorded."""
        problems = self.problems if full else tuple(_DIFFERS if _RECORDED in told else told for told in self.problems)
        return {
            "id": self.id,
            "state": self.state,
            "problems": list(problems),
            "status": self.status or None,
            "first_byte_ms": round(self.first_byte_ms, 3) if self.status else None,
        }


def judged(case: Case, answer: CaseAnswer, limits: ComparisonLimits, complaint: str | None = None) -> Result:
    """Return whether `answer` is good enough for `case`; `complaint` is what the service's validators say of it."""
    if not answer.error and answer.status in _CREDENTIALS_WANTED and case.expect.status == NO_FAULT:
        problem = f"status {answer.status}: it wants credentials, which cases never hold"
        return Result(case.id, "skipped", (problem,), answer.status, answer.first_byte_ms)
    found = chain(_problems(case.expect, answer, limits), [f"invalid: {complaint}"] if complaint else [])
    problems = tuple(islice(found, PROBLEMS_MAX))
    return Result(case.id, "fail" if problems else "pass", problems, answer.status, answer.first_byte_ms)


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
    try:
        wanted, found = orjson.loads(recorded), orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        if recorded != answer.body:
            yield f"the answer ({len(answer.body)} bytes) is not the recorded one ({len(recorded)} bytes)"
        return
    yield from differences(
        wanted,
        found,
        limits.relative_tolerance if expect.relative_tolerance is None else expect.relative_tolerance,
        limits.absolute_tolerance if expect.absolute_tolerance is None else expect.absolute_tolerance,
        limits.ignore_paths if expect.ignore_paths is None else expect.ignore_paths,
    )


def differences(
    wanted: Any, found: Any, relative: float, absolute: float, ignore_paths: Sequence[str] = ()
) -> Iterator[str]:
    """Yield where two JSON values differ. Numbers are equal within `relative` (of the larger) or `absolute`."""
    ignored = [json_pointer.parse(path, any_depth=True) for path in ignore_paths]
    stack: list[tuple[tuple[str, ...], Any, Any]] = [((), wanted, found)]
    while stack:
        place, left, right = stack.pop()
        if any(covers(path, place) for path in ignored):
            continue
        if isinstance(left, dict) and isinstance(right, dict):
            yield from _missing(place, left, right, ignored)
            stack.extend(((*place, name), left[name], right[name]) for name in reversed(left) if name in right)
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                yield f"{_shown(place)}: {len(right)} items, recorded {len(left)}"
            pairs = list(enumerate(zip(left, right, strict=False)))
            stack.extend(((*place, str(number)), a, b) for number, (a, b) in reversed(pairs))
        elif not _equal(left, right, relative, absolute):
            yield f"{_shown(place)}: {_brief(right)}{_RECORDED}{_brief(left)}"


def _missing(
    place: tuple[str, ...], left: dict[str, Any], right: dict[str, Any], ignored: list[tuple[str, ...]]
) -> Iterator[str]:
    for name in sorted(left.keys() ^ right.keys()):
        inner = (*place, name)
        if not any(covers(path, inner) for path in ignored):
            yield f"{_shown(inner)}: {'is missing' if name in left else 'is new'}"


def _equal(left: Any, right: Any, relative: float, absolute: float) -> bool:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (left, right))
    if not numbers:
        return type(left) is type(right) and bool(left == right)
    return isclose(left, right, rel_tol=relative, abs_tol=absolute) or (isnan(left) and isnan(right))


def _shown(place: Sequence[str]) -> str:
    return ".".join(place)[:120] or "the whole answer"


def _brief(value: Any) -> str:
    return shorten(orjson.dumps(value).decode(), 40, kept=40)
