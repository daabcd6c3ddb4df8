"""One live document for all its readers: it is made once a second, however many read it.

Only the newest difference is kept. A reader that needs an older one gets the whole document, so a slow reader costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.control.addon import Document
from router.control.admin.live.merge_patch import difference
from router.runtime import clock
from router.runtime.printable_json import json_bytes

EVERY_S: Final = 1.0


class Feed:
    """`make` returns the document of now. Times are those of the event loop."""

    def __init__(self, make: Callable[[], Document], every_s: float = EVERY_S) -> None:
        self._make = make
        self._every_s = every_s
        self._readers = 0
        self.number = 0
        """The number of the newest document; 0 before the first."""
        self.due_s = 0.0
        """When the next document is due."""
        self._at = ""
        self._document: Document = {}
        self._patch: bytes = b""
        self._whole: bytes | None = None

    def join(self) -> None:
        """Count one more reader."""
        self._readers += 1

    def leave(self) -> bool:
        """Count one reader less; return whether it was the last one."""
        self._readers -= 1
        return not self._readers

    def update(self, now_s: float) -> None:
        """Make the next document if it is due. Seconds that were missed are skipped."""
        if now_s < self.due_s:
            return
        document = self._make()
        self._at = clock.iso(clock.wall_s())
        self.number += 1
        self._patch = self._frame({"patch": difference(self._document, document)})
        self._document, self._whole = document, None
        following_s = self.due_s + self._every_s
        self.due_s = following_s if following_s > now_s else now_s + self._every_s

    def frame(self, known: int) -> bytes:
        """Return the event for a reader that has document `known` (0: none): the newest difference, or the whole document."""
        if known and known == self.number - 1:
            return self._patch
        if self._whole is None:
            self._whole = self._frame({"document": self._document})
        return self._whole

    def _frame(self, content: Document) -> bytes:
        return b"event: status\ndata: %s\n\n" % json_bytes({"number": self.number, "at": self._at, **content})
