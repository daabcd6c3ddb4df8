"""The documents of regression cases and of their checks, as the admin API returns them. Times are RFC 3339."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from router.control.views.addon_answers import CheckProgress


class CaseRequest(TypedDict):
    """The request of a case. A member at its default is left out; header fields and bodies are for operators only."""

    method: str
    target: str
    headers: NotRequired[dict[str, str]]
    body: NotRequired[str]
    body_base64: NotRequired[str]
    body_bytes: NotRequired[int]
    redacted: NotRequired[bool]


class CaseExpectation(TypedDict):
    """What a response has to be. A member at its default is left out."""

    status: NotRequired[str]
    latency_ms_max: NotRequired[float]
    equal: NotRequired[bool]
    body: NotRequired[str]
    body_base64: NotRequired[str]
    relative_tolerance: NotRequired[float]
    absolute_tolerance: NotRequired[float]
    ignore_paths: NotRequired[list[str]]


class CaseDocument(TypedDict):
    """A regression case. A member at its default is left out."""

    id: str
    request: CaseRequest
    expect: NotRequired[CaseExpectation]
    note: NotRequired[str]
    by: NotRequired[str]
    at: NotRequired[float]
    """Seconds since 1970."""
    version: NotRequired[str]
    incident: NotRequired[str]
    failed: NotRequired[dict[str, Any]]
    added_at: str
    expires_at: str | None
    sendable: bool
    """Whether the request is whole."""


class CasesBuilt(TypedDict):
    """The cases that a rollback has built. `seen`: captured failures; `left_out`: their number by reason."""

    incident: str
    version: str
    seen: int | None
    made: int | None
    left_out: dict[str, int]
    why: str


class CasesList(TypedDict):
    """The cases of a service, newest first."""

    service: str
    cases: list[CaseDocument]
    rollbacks: list[CasesBuilt]


class CasesAdded(TypedDict):
    """The ids of added cases, of those that were known, and of those that were dropped for them."""

    service: str
    added: list[str]
    known: list[str]
    dropped: list[str]
    dry_run: bool


class CasesRemoved(TypedDict):
    """The ids of removed cases."""

    service: str
    removed: list[str]


class ChecksList(TypedDict):
    """The running checks and the last ones that ended, newest first."""

    service: str
    checks: list[CheckProgress]


class CaseResult(TypedDict):
    """The result of one case."""

    id: str
    state: Literal["pass", "fail", "skipped"]
    problems: list[str]
    status: int | None
    first_byte_ms: float | None


class CheckDocument(CheckProgress):
    """A check with its results."""

    results: list[CaseResult]
