"""`Idempotency-Key`: a repeated request with the same key gets the first answer and makes no second change.

Source: draft-ietf-httpapi-idempotency-key-header. Keys are kept in memory and lost with a restart of control; the verbs are
idempotent without them, too.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from router.control.admin import problems
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock

SERVER_ERROR: Final = 500
KEYS_MAX: Final = 1000
KEPT_S: Final = 24 * 3600.0
_KEY: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer: either a document with its status, or a refusal."""

    status: int
    document: dict[str, object] | None
    refusal: Refusal | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the disk may have the change although it was refused."""
        return self.refusal is not None and self.refusal.in_doubt


@dataclass(slots=True)
class _StoredKey:
    fingerprint: str
    since_s: float
    answer: asyncio.Future[StoredAnswer]

    def stale(self) -> bool:
        """Whether it was stored for a change in doubt that is decided by now."""
        return self.answer.done() and self.answer.result().status >= SERVER_ERROR and not self.answer.result().in_doubt


class IdempotencyKeys:
    """Stores at most KEYS_MAX keys for at most KEPT_S seconds; the oldest are dropped first."""

    def __init__(self, now_s: Callable[[], float] = clock.now_s) -> None:
        self._now_s = now_s
        self._stored: OrderedDict[tuple[str, str], _StoredKey] = OrderedDict()

    async def once(
        self, owner: str, key: str | None, fingerprint: str, perform: Callable[[], Awaitable[StoredAnswer]]
    ) -> tuple[StoredAnswer, bool]:
        """Return (answer, whether it is a repetition). A repeated request waits for the first one if that is in flight.

        Raise Refusal 422 if the key was used for another request, 400 if it is invalid. An answer of 500 or more is not
        stored: nothing was changed, and the client may retry. An answer that leaves the change in doubt is stored until the
        doubt is decided; then the client may retry, too.
        """
        if key is None:
            return await perform(), False
        if not _KEY.fullmatch(key):
            raise Refusal(RefusalCode.REQUEST_INVALID, "Idempotency-Key is 1 to 255 visible ASCII characters")
        self._drop_expired()
        known = self._stored.get((owner, key))
        if known is not None and not known.stale():
            if known.fingerprint != fingerprint:
                raise Refusal(RefusalCode.IDEMPOTENCY_KEY_REUSED, "this Idempotency-Key was used for another request")
            return await asyncio.shield(known.answer), True
        return await self._first((owner, key), fingerprint, perform), False

    async def _first(
        self, place: tuple[str, str], fingerprint: str, perform: Callable[[], Awaitable[StoredAnswer]]
    ) -> StoredAnswer:
        stored = _StoredKey(fingerprint, self._now_s(), asyncio.get_running_loop().create_future())
        while len(self._stored) >= KEYS_MAX:
            self._stored.popitem(last=False)
        self._stored[place] = stored
        answer = None
        try:
            answer = await perform()
            return answer
        finally:
            if answer is None or (answer.status >= SERVER_ERROR and not answer.in_doubt):
                self._stored.pop(place, None)
            stored.answer.set_result(answer or StoredAnswer(500, None, problems.internal()))

    def _drop_expired(self) -> None:
        oldest_s = self._now_s() - KEPT_S
        while self._stored and next(iter(self._stored.values())).since_s <= oldest_s:
            self._stored.popitem(last=False)
