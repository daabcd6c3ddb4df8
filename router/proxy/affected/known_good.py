"""The newest useful requests of one service in one worker, by fingerprint.

If such a request fails later, the request is not to blame. They are kept by work bucket and for the service, not for a version:
a request that was useful on the version before is known, too.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from router.rollout.work import WORK_BUCKETS

KEPT: Final = 16
EVERY_S: Final = 1.0


class KnownGood:
    """One useful request of each work bucket is kept every EVERY_S seconds, the newest KEPT of each bucket.

    `due_s`: from when on the next request of each bucket is to be kept, in monotonic seconds.
    """

    def __init__(self) -> None:
        self.due_s = [0.0] * WORK_BUCKETS
        self._kept: tuple[deque[int], ...] = tuple(deque(maxlen=KEPT) for _ in range(WORK_BUCKETS))

    def keep(self, bucket: int, request: int, now_s: float) -> None:
        """Keep the fingerprint of a useful request."""
        self.due_s[bucket] = now_s + EVERY_S
        kept = self._kept[bucket]
        if request in kept:  # the same request, again and again, must not displace the others
            kept.remove(request)
        kept.append(request)

    def has(self, request: int) -> bool:
        """Return whether this request was useful before, in any bucket: a bucket gets its name after its first answers."""
        return any(request in kept for kept in self._kept)
