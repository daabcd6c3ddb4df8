"""What a version does with one request: times in seconds after the request, and how it ends for the data plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.outcome import Outcome
from router.rollout.work import WorkEnd

NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Answer:
    """`begun_s`: final head below 500. `useful_s`: first useful byte. `ended_s`: the attempt ends.

    `progresses`: a 2xx body that is no event stream, in progress from its head on. `streams`: an event stream; it moves from its
    first content to its end.
    """

    begun_s: float = NEVER
    useful_s: float = NEVER
    ended_s: float = NEVER
    outcome: Outcome = Outcome.OK
    end: WorkEnd = WorkEnd.USEFUL
    progresses: bool = False
    streams: bool = False


def unary(seconds: float) -> Answer:
    """Return a complete 200 after `seconds`."""
    return Answer(seconds, seconds, seconds)


def stream(first_s: float, lasts_s: float, head_s: float = 0.01) -> Answer:
    """Return an event stream with its first content after `first_s`, which ends `lasts_s` later."""
    return Answer(min(head_s, first_s), first_s, first_s + lasts_s, streams=True)


def silent_stream(head_s: float = 0.01) -> Answer:
    """Return an event stream that brings its head and nothing useful: silence, or nothing but keep-alive comments."""
    return Answer(begun_s=head_s, streams=True)


def silence() -> Answer:
    """Return no answer at all."""
    return Answer()


def long_body(seconds: float, head_s: float = 0.01) -> Answer:
    """Return a body, such as a WAV, whose bytes come all the time and whose end comes after `seconds`."""
    return Answer(head_s, seconds, seconds, progresses=True)


def failed(seconds: float = 0.005, outcome: Outcome = Outcome.SERVER_ERROR) -> Answer:
    """Return a fault before the response began: 5xx, refused or broken connection."""
    return Answer(ended_s=seconds, outcome=outcome, end=WorkEnd.FAULT)


def invalid(seconds: float = 0.01) -> Answer:
    """Return a 200 whose first event, or whose complete JSON, is an error."""
    return Answer(begun_s=seconds, ended_s=seconds, outcome=Outcome.INVALID, end=WorkEnd.FAULT)


def broken_stream(first_s: float = 0.05, lasts_s: float = 0.1) -> Answer:
    """Return a stream with content that ends by an error or by a broken connection."""
    return Answer(0.01, first_s, first_s + lasts_s, Outcome.TRUNCATED, streams=True)


def client_error(seconds: float = 0.005) -> Answer:
    """Return a 4xx other than 401, 403 and 429."""
    return Answer(begun_s=seconds, ended_s=seconds, outcome=Outcome.CLIENT_ERROR, end=WorkEnd.CLIENT_ERROR)


def unauthorised(seconds: float = 0.005) -> Answer:
    """Return a 401 or 403."""
    return Answer(begun_s=seconds, ended_s=seconds, outcome=Outcome.CLIENT_ERROR, end=WorkEnd.UNAUTHORISED)


def throttled(seconds: float = 0.005, *, begun: bool = False) -> Answer:
    """Return an answer that says busy: 503 with Retry-After, or with `begun` a 429."""
    begun_s = seconds if begun else NEVER
    return Answer(begun_s=begun_s, ended_s=seconds, outcome=Outcome.THROTTLED, end=WorkEnd.THROTTLED)


def empty(seconds: float = 0.02) -> Answer:
    """Return a 200 that ends whole and holds nothing useful."""
    return Answer(begun_s=seconds, ended_s=seconds, end=WorkEnd.EMPTY)
