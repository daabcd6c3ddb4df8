"""A captured or hand-written request that must work in the next version, and what "works" means.

A case passes if its answer is no fault (or has the status that is expected), comes within the time, and, where that is asked
for, equals the recorded answer: JSON by value, numbers within a tolerance, some places left out; anything else byte by byte.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from math import isclose, isnan
from typing import Any, ClassVar, Final

import orjson

from router.rollout import pointer
from router.rollout.pointed import covers

PROBLEMS_MAX: Final = 8
NO_FAULT: Final = "no_fault"
STATUS_PATTERN: Final = r"^(no_fault|[1-5]xx|[1-5][0-9][0-9])$"
SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
"""RFC 9110 §9.2.1, without TRACE, which is not proxied."""
NEVER_KEPT: Final = frozenset(
    (
        *("authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie", "set-cookie2"),
        *("x-api-key", "api-key", "x-auth-token", "x-amz-security-token"),
    )
)
"""Header fields that hold credentials: whatever the settings or a file say, no case has them."""
_CREDENTIALS_WANTED: Final = (401, 403, 407)
_RECORDED: Final = ", recorded "
_DIFFERS: Final = "it differs from the recorded answer"
_STRICT: Final[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `target` is path and query; the body is text or base64, None if there is none or it was not kept;
    `body_bytes` is its length as the client sent it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    body_base64: str | None = None
    body_bytes: int = 0
    redacted: bool = False

    @property
    def content(self) -> bytes:
        """The body as it is sent; raise ValueError if it is not base64."""
        return content_of(self.body, self.body_base64)

    @property
    def whole(self) -> bool:
        """Whether the body is here, or there never was one."""
        return self.body_bytes == 0 or self.body is not None or self.body_base64 is not None


@dataclass(frozen=True, slots=True)
class Expect:
    """`status`: `no_fault` (below 500, and not 429), a class (`2xx`) or one status. A body is the recorded good answer: with
    `equal` the new one must equal it. None: as the service's settings say.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    status: str = NO_FAULT
    latency_ms_max: float | None = None
    equal: bool | None = None
    body: str | None = None
    body_base64: str | None = None
    relative_tolerance: float | None = None
    absolute_tolerance: float | None = None
    ignore_paths: tuple[str, ...] | None = None

    @property
    def content(self) -> bytes | None:
        """The recorded answer; None if there is none."""
        return None if self.body is None and self.body_base64 is None else content_of(self.body, self.body_base64)


@dataclass(frozen=True, slots=True)
class Case:
    """`at` (wall seconds) is when it was captured or written; `failed` says how it failed then, {} for a written one;
    `by` is `rollback`, or who added it. Names end with their units.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    request: Request
    expect: Expect = Expect()
    note: str = ""
    by: str = ""
    at: float = 0.0
    version: str | None = None
    incident: str | None = None
    failed: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The same for the same request: twelve hexadecimal digits over method, target and body."""
        begin = f"{self.request.method}\n{self.request.target}\n".encode()
        return hashlib.sha256(begin + self.request.content).hexdigest()[:12]

    def signed(self, by: str, at_s: float) -> Case:
        """Return it as written by `by` at `at_s` (wall time)."""
        return replace(self, by=by, at=at_s)

    @property
    def captured(self) -> bool:
        """Whether nobody has written it by hand."""
        return self.by == "rollback"


@dataclass(frozen=True, slots=True)
class Answer:
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
class Limits:
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


def content_of(text: str | None, encoded: str | None) -> bytes:
    """Return the bytes of a body that is given as text or as base64."""
    if text is not None:
        return text.encode()
    return base64.b64decode(encoded, validate=True) if encoded is not None else b""


def written(content: bytes) -> dict[str, str]:
    """Return the members that keep `content`: text where it is UTF-8, else base64."""
    try:
        return {"body": content.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(content).decode()}


def unsendable(case: Case, replay: str, *, asked: bool) -> str | None:
    """Return why `case` is not sent; None if it is. `replay` is the service's rule, `asked`: a person wants every one sent.

    A request of a safe method, and one that a person wrote for this purpose, may always be sent. A captured POST may where
    the service says that requests may be sent again; other methods change something weeks later, so a person has to ask.
    """
    request = case.request
    if not request.whole:
        return "its body was not kept: set cases.bodies = true for the service"
    if (
        asked
        or not case.captured
        or request.method in SAFE_METHODS
        or (replay == "always" and request.method == "POST")
    ):
        return None
    return f'{request.method} is sent again only with replay = "always" (POST) or when asked for (--replay-all)'


def judged(case: Case, answer: Answer, limits: Limits, complaint: str | None = None) -> Result:
    """Return whether `answer` is good enough for `case`; `complaint` is what the service's validators say of it."""
    if not answer.error and answer.status in _CREDENTIALS_WANTED and case.expect.status == NO_FAULT:
        problem = f"status {answer.status}: it wants credentials, which cases never hold"
        return Result(case.id, "skipped", (problem,), answer.status, answer.first_byte_ms)
    found = chain(_problems(case.expect, answer, limits), [f"invalid: {complaint}"] if complaint else [])
    problems = tuple(islice(found, PROBLEMS_MAX))
    return Result(case.id, "fail" if problems else "pass", problems, answer.status, answer.first_byte_ms)


def _problems(expect: Expect, answer: Answer, limits: Limits) -> Iterator[str]:
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


def _differences(recorded: bytes, answer: Answer, expect: Expect, limits: Limits) -> Iterator[str]:
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
    ignored = [pointer.parse(path, any_depth=True) for path in ignore_paths]
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
    text = orjson.dumps(value).decode()
    return text if len(text) <= 40 else f"{text[:40]}…"
