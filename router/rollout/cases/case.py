"""A captured or hand-written request that must work in the next version, and what "works" means.

A case passes if its answer is no fault (or has the status that is expected), comes within the time, and, where that is asked
for, equals the recorded answer: JSON by value, numbers within a tolerance, some places left out; anything else byte by byte.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

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
class Expectation:
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
    expect: Expectation = Expectation()
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
