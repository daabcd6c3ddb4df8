"""The attributes and methods of an exchange that taps use. The classes are in `engine`, which lies above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from router.proxy.http1.request_head import RequestHead
from router.rollout.model.endpoint import Endpoint


class TappedPool(Protocol):
    """The connections to an endpoint."""

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""


class TappedTarget(Protocol):
    """One version of the service."""

    @property
    def version(self) -> str:
        """The name of the version."""

    @property
    def slot(self) -> int:
        """The slot that holds it."""


class TappedAttempt(Protocol):
    """One attempt of an exchange on a target. `refused`: the cause for which its answer was refused (refused_answers.py)."""

    refused: str

    @property
    def target(self) -> TappedTarget:
        """The claimed target."""

    @property
    def row(self) -> int:
        """Where the counters of the target begin."""

    @property
    def generation(self) -> int:
        """The generation of the route at the claim."""

    @property
    def begun(self) -> bool:
        """Whether a response below 500 has begun."""

    @property
    def claimed_s(self) -> float:
        """When the target was claimed, in monotonic seconds."""

    @property
    def sent_s(self) -> float:
        """When the last byte of the request was written, in monotonic seconds; 0 before."""

    @property
    def pool(self) -> TappedPool | None:
        """The endpoint in use."""

    @property
    def tried(self) -> Sequence[TappedPool]:
        """The endpoints that were used, the last one last."""


class TappedConnection(Protocol):
    """The client's connection."""

    @property
    def client_print(self) -> int:
        """The fingerprint of the client (affected/fingerprints.py); 0 before it was needed."""

    def write(self, data: bytes) -> None:
        """Write response bytes."""


class TappedExchange(Protocol):
    """One request in flight. `failed` are the records of its failed attempts (failure_recorder.py), `trace_notes` the notes for
    its spans (tracing.py), `tap` is its ExchangeTap.
    """

    failed: list[dict[str, Any]] | None
    trace_notes: Any
    tap: Any

    @property
    def downstream(self) -> TappedConnection:
        """The client's connection."""

    @property
    def head(self) -> RequestHead:
        """The request's head."""

    @property
    def request_id(self) -> bytes:
        """The request's identifier."""

    @property
    def request_print(self) -> int:
        """The fingerprint of the request; 0 before it was needed, and while the request is not whole."""

    @property
    def attempt(self) -> TappedAttempt | None:
        """The present attempt, or the last one."""

    @property
    def body(self) -> list[bytes] | None:
        """The pieces of the request's body that may still be needed."""

    @property
    def body_bytes(self) -> int:
        """How many bytes of the body have arrived."""

    @property
    def body_complete(self) -> bool:
        """Whether the whole body has arrived."""

    @property
    def status(self) -> int:
        """The status of the response, 0 before it has begun."""
