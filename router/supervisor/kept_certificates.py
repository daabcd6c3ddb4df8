"""Keeps copies of the TLS files that were last usable, for children that start while the files are broken.

A thread looks every `certificates_every_s` whether the files have changed: a disk that hangs must not stop the supervisor's loop.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, Final

from router.settings.settings import Settings
from router.shm import settings_memory
from router.tls import contexts, kept_files
from router.tls.kept_files import KeptFiles

log = logging.getLogger(__name__)
_NAME: Final = "rollback-router-certificates"


class KeptCertificates:
    """The copies for the children of one supervisor; `start` begins to watch the files."""

    def __init__(self, settings: Settings) -> None:
        self._kept: KeptFiles = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._descriptors: dict[str, int] = {}
        self._signature: object = None
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings, and read their files now."""
        with self._lock:
            self._document: dict[str, Any] = settings.model_dump()
            self._every_s = settings.timeouts.certificates_every_s
            self._signature = None
        self.refresh()

    def refresh(self) -> None:
        """Copy the files anew if they have changed; unusable ones change nothing."""
        with self._lock:
            files = [path for tls in kept_files.places(self._document).values() for path in tls.files]
            signature = contexts.signature(files)
            if signature != self._signature:
                self._signature = signature
                before = self._kept
                self._kept, unusable = kept_files.refreshed(before, self._document)
                if before and not unusable:
                    log.info("the copies of the TLS files are renewed")

    def start(self) -> None:
        """Watch the files from now on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="certificates", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self.refresh()

    def descriptor(self, child: str, *, control: bool) -> int:
        """Return the descriptor of new memory with the copies for the start of a child; the memory of its last start is closed.

        Control gets the key of the admin port, and workers get that of the listener.
        """
        if child in self._descriptors:
            os.close(self._descriptors[child])
        other = kept_files.LISTEN if control else kept_files.ADMIN
        kept = {place: files for place, files in self._kept.items() if place != other}
        self._descriptors[child] = settings_memory.create(kept_files.encode(kept), _NAME)
        return self._descriptors[child]

    def present(self, child: str) -> int:
        """Return the descriptor that `descriptor` has made last for this child."""
        return self._descriptors[child]
