"""Counts the answers of backends that the router refuses as malformed, by cause, and logs some of them.

A refused answer is a fault of the version (`truncated`), and the client gets a 502. Its cause is one of `layout.REFUSED_ANSWERS`.
Nothing here runs for an answer that is not refused.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from router.proxy.tap.tapped import TappedAttempt
from router.runtime import clock
from router.runtime.logs import LogThrottle
from router.shm import layout as at

if TYPE_CHECKING:
    from router.errors import RouterError
    from router.proxy.context import WorkerContext

log = logging.getLogger(__name__)
LOG_EVERY_S: Final = 10.0
"""At most one refused answer of a service is logged in this time for each cause."""
CHUNK_CAUSE: Final = "response_chunk_malformed"


class RefusedAnswers:
    """The refused answers of the service with this name, in one worker."""

    def __init__(self, context: WorkerContext, service: str) -> None:
        self._context = context
        self._service = service
        self._throttles: dict[str, LogThrottle] = {}

    def record(self, attempt: TappedAttempt, error: RouterError) -> None:
        """Count an answer to `attempt`, refused by `error`: an UpstreamError with the cause as its code, or a ChunkError."""
        cause = error.code if error.code in at.REFUSED_ANSWERS else CHUNK_CAUSE
        attempt.refused = cause
        words, word = self._context.words, attempt.row + at.L_REFUSED_ANSWERS + at.REFUSED_ANSWERS.index(cause)
        words[word] += 1
        if self._throttles.setdefault(cause, LogThrottle(LOG_EVERY_S)).due(clock.now_s()):
            log.warning(
                "service %s: an answer of %s at %s was refused (%s, %d so far in this worker): %s",
                self._service,
                attempt.target.version,
                attempt.pool.endpoint.url if attempt.pool is not None else "no endpoint",
                cause,
                words[word],
                error.detail,
            )
