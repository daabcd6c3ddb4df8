"""Notes for the spans of exchanges that their clients have sampled (W3C Trace Context). span_export.py makes spans of them.

A request is sampled if it has one valid `traceparent` with the flag `sampled`. The field is sent on as it came, so the spans of
the router and those of the backend have the same parent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.proxy.tap.tapped import TappedAttempt, TappedExchange
from router.rollout.outcome import FAULTS, Outcome
from router.runtime import clock

_TRACEPARENT: Final = re.compile(rb"\r\n(?i:traceparent):[ \t]*([^\r]*)")
_VALUE: Final = re.compile(
    rb"(?!ff|00.{53}-)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?[ \t]*", re.DOTALL
)
"""Versions after 00 may have more members."""
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class SpanParent:
    """The span of the client; neither is 0."""

    trace_id: int
    span_id: int


@dataclass(frozen=True, slots=True)
class AttemptNote:
    """What is known of an attempt. Times are monotonic seconds; `sent_s` 0: the request was not sent whole."""

    version: str
    endpoint: str | None
    endpoints_tried: int
    outcome: str
    is_fault: bool
    claimed_s: float
    sent_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class ExchangeNote:
    """What is known of an exchange. `offset_ns`: wall time minus monotonic time."""

    parent: SpanParent
    service: str
    method: str
    path: str
    status: int
    outcome: str
    request_id: str
    began_s: float
    ended_s: float
    offset_ns: int
    attempts: tuple[AttemptNote, ...]


def sampled_parent(head: bytes) -> SpanParent | None:
    """Return the parent that the fields of a request name, if it is sampled."""
    values = _TRACEPARENT.findall(head)
    found = _VALUE.fullmatch(values[0]) if len(values) == 1 else None
    if found is None or not int(found[3], 16) & _SAMPLED:
        return None
    parent = SpanParent(int(found[1], 16), int(found[2], 16))
    return parent if parent.trace_id and parent.span_id else None


class TraceNotes:
    """What is noted of an exchange until it ends. `parent` None: it is not sampled."""

    __slots__ = ("attempts", "parent")

    def __init__(self, parent: SpanParent | None) -> None:
        self.parent = parent
        self.attempts: list[AttemptNote] = []


_NOT_SAMPLED: Final = TraceNotes(None)


class Tracer:
    """Notes exchanges and attempts of one worker, and gives each exchange that has ended to `put`, which must not block."""

    def __init__(self, put: Callable[[ExchangeNote], None]) -> None:
        self._put = put

    def attempt_ended(self, exchange: TappedExchange, attempt: TappedAttempt, outcome: int) -> None:
        """Note an attempt; to be called before its exchange ends."""
        notes = _notes_of(exchange)
        if notes.parent is None:
            return
        last = attempt.pool or (attempt.tried[-1] if attempt.tried else None)
        note = AttemptNote(
            version=attempt.target.version,
            endpoint=last.endpoint.url if last is not None else None,
            endpoints_tried=len(attempt.tried),
            outcome=Outcome(outcome).label,
            is_fault=outcome in FAULTS,
            claimed_s=attempt.claimed_s,
            sent_s=attempt.sent_s,
            ended_s=clock.now_s(),
        )
        notes.attempts.append(note)

    def exchange_ended(self, exchange: TappedExchange, service: str, outcome: int) -> None:
        """Give away what was noted of an exchange, once."""
        notes = _notes_of(exchange)
        parent, attempts = notes.parent, tuple(notes.attempts)
        if parent is None:
            return
        now_s = clock.now_s()
        self._put(
            ExchangeNote(
                parent=parent,
                service=service,
                method=exchange.head.method.decode("latin-1"),
                path=exchange.head.path.decode("latin-1"),
                status=exchange.status,
                outcome=Outcome(outcome).label,
                request_id=exchange.request_id.decode("latin-1"),
                began_s=attempts[0].claimed_s if attempts else now_s,
                ended_s=now_s,
                offset_ns=int((clock.wall_s() - now_s) * 1e9),
                attempts=attempts,
            )
        )


def _notes_of(exchange: TappedExchange) -> TraceNotes:
    """Return the notes of an exchange, which keeps them: its fields are searched once, and the notes go with it."""
    notes: TraceNotes | None = exchange.trace_notes
    if notes is None:
        parent = sampled_parent(exchange.head.upstream)
        exchange.trace_notes = notes = _NOT_SAMPLED if parent is None else TraceNotes(parent)
    return notes
