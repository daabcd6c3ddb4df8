"""The state directory, used by one router at a time. The lock is a flock on STATE_DIR/lock, a file with the owner's pid.

Control inherits the descriptor, so the lock outlives a killed supervisor as long as its control may write the journal. A clean
stop empties the file; a pid in it means that the previous router was killed.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shlex
from pathlib import Path
from typing import Final

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime import clock, owned_files
from router.runtime.host import file_system, mounts
from router.runtime.processes import process_exists
from router.supervisor.patience import Patience

log = logging.getLogger(__name__)

PATIENCE_S: Final = 5.0
"""Longest wait for the children of a killed supervisor."""
LOCK: Final = "lock"


class StateDirectory:
    """A locked directory of mode 0700. `unclean` is whether the last router here was killed."""

    def __init__(self, path: Path, patience: Patience | None = None, *, lock: bool = True) -> None:
        """Create and lock it; raise StartError that names the process with the lock, the foreign owner, or the error.

        Without `lock`, `take` locks it later.
        """
        self.path = path
        self.unclean = False
        self._locked = False
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (warning := owned_files.close_to_others(path)) is not None:
                log.warning("state directory %s", warning)
            file_system.check(path)
            self.lock_fd = owned_files.opened(path / LOCK, os.O_RDWR | os.O_CREAT)
        except owned_files.NotOwned as error:
            detail = f"state directory {path}: {error.strerror}; or choose another: --state-dir DIR"
            raise StartError(StartCode.STATE_NOT_OURS, detail) from None
        except file_system.FileSystemUnfit as error:
            raise _unfit(path, error) from None
        except OSError as error:
            raise StartError(
                StartCode.STATE_NOT_OURS if _is_foreign(path, error) else StartCode.STATE_UNWRITABLE,
                f"state directory {path}: {_remedy(path, error)} or choose another: --state-dir DIR",
            ) from None
        if (reason := owned_files.exposed(path)) is not None:
            log.warning(
                "state directory %s: %s, and they can replace it; choose a place that root or this user owns",
                path,
                reason,
            )
        if not lock:
            return
        try:
            self._lock(patience or Patience(PATIENCE_S))
        except StartError:
            os.close(self.lock_fd)
            raise
        self.unclean = _owner(self.lock_fd) is not None
        self._sign()

    def _sign(self) -> None:
        self._locked = True
        os.ftruncate(self.lock_fd, 0)
        os.pwrite(self.lock_fd, str(os.getpid()).encode(), 0)

    def take(self) -> bool:
        """Try to lock it; return whether this router has the lock."""
        try:
            fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._sign()
        return True

    def give_up(self) -> None:
        """Release the lock for a successor, and keep the file open."""
        self._locked = False
        fcntl.flock(self.lock_fd, fcntl.LOCK_UN)

    def _lock(self, patience: Patience) -> None:
        patience.begin()
        while True:
            try:
                return fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if not file_system.is_busy(error):
                    raise _unfit(self.path, file_system.unfit(self.path, "lock files (flock)", error)) from None
                owner = _owner(self.lock_fd)
                if (owner is not None and process_exists(owner)) or patience.is_over:
                    raise StartError(
                        StartCode.STATE_IN_USE,
                        f"state directory {self.path} is in use by the router with pid {owner}: "
                        "stop that one first, or give this one its own: --state-dir DIR",
                    ) from None
            patience.pause()

    def archive(self, at_s: float) -> Path | None:
        """Move everything except the lock into `archive-TIME` (wall time `at_s`), for --fresh; None if there was nothing."""
        old = [item for item in self.path.iterdir() if item.name != LOCK and not item.name.startswith("archive-")]
        if not old:
            return None
        place = self.path / f"archive-{clock.file_stamp(at_s)}"
        place.mkdir(mode=0o700)
        for item in old:
            item.rename(place / item.name)
        return place

    def close(self) -> None:
        """Release the lock: a clean end."""
        if self._locked:
            os.ftruncate(self.lock_fd, 0)
        os.close(self.lock_fd)


def _owner(lock_fd: int) -> int | None:
    text = os.pread(lock_fd, 20, 0).strip()
    return int(text) if text.isdigit() and len(text) < 10 else None  # pids have at most 22 bits


def _is_foreign(path: Path, error: OSError) -> bool:
    """Return whether the directory is there, and its owner lets no other user write to it."""
    try:
        return error.errno in (errno.EACCES, errno.EPERM) and os.stat(path).st_uid != os.geteuid()
    except OSError:
        return False


def _unfit(path: Path, error: OSError) -> StartError:
    detail = f"state directory {path}: {error.strerror}; or choose another: --state-dir DIR"
    return StartError(StartCode.STATE_UNSUITABLE, detail)


def _remedy(path: Path, error: OSError) -> str:
    match error.errno:
        case errno.EEXIST | errno.ENOTDIR:
            return f"{error.filename} is no directory, or a link to nothing; remove it"
        case errno.ENOSPC | errno.EDQUOT:
            return f"{error.strerror} on {mounts.of(path)}; make room"
        case errno.ENAMETOOLONG | errno.ELOOP:
            return f"{error.strerror}; correct it"
        case errno.EROFS:
            return f"{mounts.of(path)} is read-only; mount a volume that can be written there"
        case errno.EACCES | errno.EPERM:
            uid = os.geteuid()
            failed = f"{error.strerror} for {owned_files.user(uid)}: {owned_files.described(path)}"
            if not path.exists():  # never advise to hand over a directory above, which may be `/` or a home
                return f"{failed}; make {path} for this user (install -d -o {uid} -m 700 {shlex.quote(str(path))}),"
            return f"{failed}; make it writable for this user (chown -R {uid}; in Kubernetes securityContext.fsGroup),"
        case _:
            return f"{error.strerror}; make it writable for this user"
