"""`Idempotency-Key`: the same key with the same request gets the same answer, without a second change.

(draft-ietf-httpapi-idempotency-key-header.) Kept in memory, so a restarted control forgets; the verbs are idempotent anyway.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from router.control.admin import problems
from router.errors import OperatorError
from router.runtime import clock

SERVER_ERROR: Final = 500
KEYS_MAX: Final = 1000
KEPT_S: Final = 24 * 3600.0
_KEY: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What was answered: either a document with its status, or a refusal."""

    status: int
    document: dict[str, object] | None
    refusal: OperatorError | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the change may be made after all."""
        return self.refusal is not None and self.refusal.in_doubt


@dataclass(slots=True)
class _Kept:
    fingerprint: str
    since_s: float
    answer: asyncio.Future[StoredAnswer]

    def stale(self) -> bool:
        """Whether it was kept as a change in doubt, which is decided now."""
        return self.answer.done() and self.answer.result().status >= SERVER_ERROR and not self.answer.result().in_doubt


class IdempotencyKeys:
    """At most KEYS_MAX keys for at most KEPT_S seconds; the oldest goes first."""

    def __init__(self, now_s: Callable[[], float] = clock.now_s) -> None:
        self._now_s = now_s
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def once(
        self, owner: str, key: str | None, fingerprint: str, perform: Callable[[], Awaitable[StoredAnswer]]
    ) -> tuple[StoredAnswer, bool]:
        """Return (answer, whether it was given before). A request that comes while the first is under way waits for it.

        Raise OperatorError 422 if the key was used for another request, 400 if it is no key. An answer of 500 or more
        is not kept: nothing was changed, so the client may try again. One that leaves the change in doubt is kept as long
        as it is: then the change is struck out, and the client may try again, too.
        """
        if key is None:
            return await perform(), False
        if not _KEY.fullmatch(key):
            raise OperatorError(400, "request_invalid", "Idempotency-Key is 1 to 255 visible ASCII characters")
        self._forget()
        known = self._kept.get((owner, key))
        if known is not None and not known.stale():
            if known.fingerprint != fingerprint:
                raise OperatorError(422, "idempotency_key_reused", "this Idempotency-Key was used for another request")
            return await asyncio.shield(known.answer), True
        return await self._first((owner, key), fingerprint, perform), False

    async def _first(
        self, place: tuple[str, str], fingerprint: str, perform: Callable[[], Awaitable[StoredAnswer]]
    ) -> StoredAnswer:
        kept = _Kept(fingerprint, self._now_s(), asyncio.get_running_loop().create_future())
        while len(self._kept) >= KEYS_MAX:
            self._kept.popitem(last=False)
        self._kept[place] = kept
        answer = None
        try:
            answer = await perform()
            return answer
        finally:
            if answer is None or (answer.status >= SERVER_ERROR and not answer.in_doubt):
                self._kept.pop(place, None)
            kept.answer.set_result(answer or StoredAnswer(500, None, problems.internal()))

    def _forget(self) -> None:
        oldest_s = self._now_s() - KEPT_S
        while self._kept and next(iter(self._kept.values())).since_s <= oldest_s:
            self._kept.popitem(last=False)
