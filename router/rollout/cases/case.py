"""A case: a captured or hand-written request that must work in the next version, and the expected answer."""

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
        "authorization",
        "proxy-authorization",
        "cookie",
        "cookie2",
        "set-cookie",
        "set-cookie2",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "x-amz-security-token",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "private-token",
        "x-vault-token",
        "x-access-token",
        "x-csrf-token",
        "x-xsrf-token",
        "dpop",
        # tokens that identity-aware proxies add
        "x-forwarded-access-token",
        "x-auth-request-access-token",
        "x-amzn-oidc-data",
        "x-amzn-oidc-accesstoken",
        "x-goog-iap-jwt-assertion",
        "cf-access-jwt-assertion",
        "x-ms-token-aad-access-token",
        "x-ms-token-aad-id-token",
    )
)
"""Header fields with credentials: no case has them, even if the settings or a file name them."""

_STRICT: Final[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Request:
    """The request of a case. `target` is path and query; the body is text or base64, None if there is none or it was not kept;
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
        """Whether the body is complete: it is stored, or the request had none."""
        return self.body_bytes == 0 or self.body is not None or self.body_base64 is not None


@dataclass(frozen=True, slots=True)
class Expectation:
    """`status`: `no_fault` (below 500, and not 429), a class (`2xx`) or one status. A body is the recorded good answer: with
    `equal` the new answer must equal it. None: the service's settings decide.
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
    """`at` (wall seconds): when it was captured or written; `failed`: how it failed then, {} for a hand-written case;
    `by`: `rollback`, or the actor that added it.
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
        """Twelve hexadecimal digits over method, target and body: equal for equal requests."""
        begin = f"{self.request.method}\n{self.request.target}\n".encode()
        return hashlib.sha256(begin + self.request.content).hexdigest()[:12]

    def signed(self, by: str, at_s: float) -> Case:
        """Return the case as written by `by` at `at_s` (wall time)."""
        return replace(self, by=by, at=at_s)

    @property
    def captured(self) -> bool:
        """Whether it was captured, not written by hand."""
        return self.by == "rollback"


def content_of(text: str | None, encoded: str | None) -> bytes:
    """Return the bytes of a body that is given as text or as base64."""
    if text is not None:
        return text.encode()
    return base64.b64decode(encoded, validate=True) if encoded is not None else b""


def encode_body(content: bytes) -> dict[str, str]:
    """Return the body members of `content`: text if it is UTF-8, else base64."""
    try:
        return {"body": content.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(content).decode()}


def unsendable(case: Case, replay: str, *, forced: bool) -> str | None:
    """Return why `case` is not sent; None if it is sent.

    `replay` is the service's rule. `forced`: an operator has requested that every case is sent.

    Requests with safe methods and hand-written cases are always sent. A captured POST is sent if the service allows replay. Other
    captured methods would change state again, so they are sent only if `forced`.
    """
    request = case.request
    if not request.whole:
        return "its body was not kept: set cases.bodies = true for the service"
    if (
        forced
        or not case.captured
        or request.method in SAFE_METHODS
        or (replay == "always" and request.method == "POST")
    ):
        return None
    return f'{request.method} is sent again only with replay = "always" (POST) or when asked for (--replay-all)'
