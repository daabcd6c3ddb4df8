"""`Idempotency-Key`: a repeated request with the same key gets the first answer and makes no second change.

Source: draft-ietf-httpapi-idempotency-key-header. Answers are kept in memory. The journal has the key of a verb's change beside
the change, so a repetition after a restart is answered from the record. The verbs are idempotent without keys, too.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from router.control.admin import problems
from router.control.store.records.earlier_changes import KEPT_S, KEYS_MAX, EarlierChange
from router.control.store.records.request_key import RequestKey, request_key
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock

SERVER_ERROR: Final = 500
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
    request: str
    since_s: float
    answer: asyncio.Future[StoredAnswer]

    def stale(self) -> bool:
        """Whether it was stored for a change in doubt that is decided by now."""
        return self.answer.done() and self.answer.result().status >= SERVER_ERROR and not self.answer.result().in_doubt


def request_key_of(principal: str, key: str | None, target: str, body: bytes) -> RequestKey | None:
    """Return the digests of a request and its field; None without the field. Raise Refusal 400 if the field is no key."""
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise Refusal(RefusalCode.REQUEST_INVALID, "Idempotency-Key is 1 to 255 visible ASCII characters")
    return request_key(principal, key, target, body)


def _refuse_other(key: RequestKey, request: str) -> None:
    if key.request != request:
        raise Refusal(RefusalCode.IDEMPOTENCY_KEY_REUSED, "this Idempotency-Key was used for another request")


class IdempotencyKeys:
    """Stores at most KEYS_MAX keys for at most KEPT_S seconds; the oldest are dropped first.

    `earlier` are the changes made before this start, by the digest of their key.
    """

    def __init__(
        self,
        earlier: Mapping[str, EarlierChange] = MappingProxyType({}),
        now_s: Callable[[], float] = clock.now_s,
        wall_s: Callable[[], float] = clock.wall_s,
    ) -> None:
        self._now_s = now_s
        self._wall_s = wall_s
        self._earlier = earlier
        self._stored: OrderedDict[str, _StoredKey] = OrderedDict()

    async def once(
        self,
        key: RequestKey | None,
        perform: Callable[[], Awaitable[StoredAnswer]],
        repeated: Callable[[EarlierChange], StoredAnswer],
    ) -> tuple[StoredAnswer, bool]:
        """Return (answer, whether it is a repetition). A repeated request waits for the first one if that is in flight.

        `repeated` makes the answer if the change was made before this start.

        Raise Refusal 422 if the key was used for another request. An answer of 500 or more is not
        stored: nothing was changed, and the client may retry. An answer that leaves the change in doubt is stored until the
        doubt is decided; then the client may retry, too.
        """
        if key is None:
            return await perform(), False
        self._drop_expired()
        known = self._stored.get(key.key)
        if known is not None and not known.stale():
            _refuse_other(key, known.request)
            return await asyncio.shield(known.answer), True
        earlier = self._earlier.get(key.key)
        if known is None and earlier is not None and self._wall_s() - earlier.entry.at < KEPT_S:
            _refuse_other(key, earlier.request)
            return repeated(earlier), True
        return await self._first(key, perform), False

    async def _first(self, key: RequestKey, perform: Callable[[], Awaitable[StoredAnswer]]) -> StoredAnswer:
        stored = _StoredKey(key.request, self._now_s(), asyncio.get_running_loop().create_future())
        while len(self._stored) >= KEYS_MAX:
            self._stored.popitem(last=False)
        self._stored[key.key] = stored
        answer = None
        try:
            answer = await perform()
            return answer
        finally:
            if answer is None or (answer.status >= SERVER_ERROR and not answer.in_doubt):
                self._stored.pop(key.key, None)
            stored.answer.set_result(answer or StoredAnswer(500, None, problems.internal()))

    def _drop_expired(self) -> None:
        oldest_s = self._now_s() - KEPT_S
        while self._stored and next(iter(self._stored.values())).since_s <= oldest_s:
            self._stored.popitem(last=False)
