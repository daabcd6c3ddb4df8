"""The sessions that were signed out before their time. They are kept in a file, so that they stay ended after a restart."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import orjson

from router.control.bulkhead import Bulkhead, BulkheadFull
from router.runtime import owned_files, secret_file

log = logging.getLogger(__name__)
ENDED_MAX: Final = 1000
"""Beyond this number all sessions end: forgetting one would let it live again."""
FILE_BYTES_MAX: Final = 1 << 20
WRITE_TIMEOUT_S: Final = 2.0


class EndedSessions:
    """Ids of ended sessions with the time until which their cookies would be valid (wall seconds). Without a `path` they are in
    memory only.
    """

    def __init__(self, path: Path | None, now_s: float) -> None:
        self._path = path
        self._bulkhead = Bulkhead("ended sessions", 1)
        self._ended: dict[str, int] = {}
        self.not_before_s = 0
        """Sessions that were begun earlier have ended."""
        if path is not None:
            self._load(path, now_s)

    def __len__(self) -> int:
        return len(self._ended)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ended

    async def add(self, session_id: str, until_s: float, now_s: float) -> None:
        """End a session. The disk has WRITE_TIMEOUT_S; without it the session is ended until the next start of control."""
        self._ended = {known: until for known, until in self._ended.items() if until > now_s}
        if len(self._ended) >= ENDED_MAX:
            self._ended, self.not_before_s = {}, int(now_s) + 1
        self._ended[session_id] = int(until_s) + 1
        if self._path is None:
            return
        path, content = self._path, orjson.dumps({"not_before_s": self.not_before_s, "ended": self._ended})
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._bulkhead.call(lambda: secret_file.replace_file(path, content))
        except (TimeoutError, BulkheadFull):
            log.warning("a session that was signed out is not kept in %s: the disk does not answer", path)
        except OSError as error:
            log.warning("a session that was signed out is not kept in %s: %s", path, error.strerror)

    def _load(self, path: Path, now_s: float) -> None:
        """Read the file; if it cannot be read, all sessions of before have ended."""
        try:
            found: Any = orjson.loads(owned_files.read(path, FILE_BYTES_MAX))
            # A clock that was ahead may have written it: no later sign-in would count until that time.
            self.not_before_s = min(int(found["not_before_s"]), int(now_s) + 1)
            self._ended = {str(known): int(until) for known, until in found["ended"].items() if until > now_s}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read, so everyone has to sign in again: %s", path, error)
            self.not_before_s = int(now_s) + 1
