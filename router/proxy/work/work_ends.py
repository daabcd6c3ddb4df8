"""What an attempt has come to (`WorkEnd`), from how it ended. Bodies that are read are in answer_watch.py."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from router.rollout.outcome import FAULTS, Outcome
from router.rollout.work import WorkEnd

_UNAUTHORISED: Final = (401, 403)
_SEE_OTHER: Final = 303
_SERVICE_UNAVAILABLE: Final = 503


def of_outcome(outcome: int, status: int, method: bytes) -> WorkEnd:
    """Return the end of an attempt whose client did not leave. `status` is that of the response, 0 without one.

    A redirection is useful for GET and HEAD, which repeat caches and moved pages; so is 303 for all methods, because it points
    at a result. Another method that is redirected has done nothing yet.
    """
    if outcome == Outcome.OK:
        useful = status < 300 or status == _SEE_OTHER or method in (b"GET", b"HEAD")
        return WorkEnd.USEFUL if useful else WorkEnd.EMPTY
    if outcome == Outcome.CLIENT_ERROR:
        return WorkEnd.UNAUTHORISED if status in _UNAUTHORISED else WorkEnd.CLIENT_ERROR
    if outcome == Outcome.THROTTLED:
        return WorkEnd.THROTTLED
    return WorkEnd.FAULT if outcome in FAULTS else WorkEnd.NEUTRAL


def of_departure(waited_s: float, median_s: float) -> WorkEnd:
    """Return the end of an attempt whose client left after this wait; `median_s` is the usual time to useful."""
    return WorkEnd.GONE_LATE if waited_s >= median_s else WorkEnd.GONE_EARLY


BUSY_BYTES_MAX: Final = 256
"""So much of the body of a 503 is searched for `throttled_texts`."""


def is_busy(status: int, retry_after: bool, begin: bytes, statuses: Collection[int], texts: Collection[bytes]) -> bool:
    """Return whether a response means that the version is busy: a status of `throttled_statuses`, or a 503 that names a time to
    retry, or whose body begins with one of `throttled_texts` (lower case). `begin` is the beginning of its body.
    """
    if status in statuses:
        return True
    if status != _SERVICE_UNAVAILABLE:
        return False
    lower = begin[:BUSY_BYTES_MAX].lower()
    return retry_after or any(text in lower for text in texts)
