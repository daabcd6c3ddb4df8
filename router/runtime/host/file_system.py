"""Checks that the file system of a directory can do what the journal needs: lock, map, sync and rename.

Network and user-space file systems may lack one of these. SQLite would then report "database is locked" or "disk I/O error",
which hides the cause. The check names the operation, the type of the file system, its mount point and the remedy.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from router.runtime.host import mounts

_PREFIX: Final = ".file-system-check-"
_BYTES: Final = 4096
"""What is written and mapped. A mapped page without room on the disk would kill the process (SIGBUS), so it is written first."""
_BUSY: Final = (errno.EWOULDBLOCK, errno.EACCES)
"""Errors of a lock that another process holds (fcntl(2) allows both)."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_REMEDIES: Final = {
    "nfs": "mount it with locking (NFSv4, or rpc.statd for NFSv3; no nolock), or use a local disk or a block volume",
    "nfs4": "mount it with locking, or use a local disk or a block volume",
    "cifs": "use a local disk or a block volume instead of the share",
}
_REMEDY: Final = "use a local disk, a volume of the container engine or a block volume"
_FLOCK: Final = "hhqqi4x"
"""struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid."""


class FileSystemUnfit(OSError):
    """The file system lacks an operation. `strerror` names operation, reason, type, mount point and remedy."""


def check(folder: Path) -> None:
    """Raise OSError if files in `folder` cannot be written, locked, mapped, synced or renamed; leave no file behind."""
    name = f"{_PREFIX}{secrets.token_hex(8)}"  # in a container, every start has the same pid
    path, moved = folder / name, folder / f"{name}-moved"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        for what, operation in (
            ("write files", lambda: os.pwrite(fd, bytes(_BYTES), 0)),
            ("lock files (flock)", lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
            ("lock files (fcntl)", lambda: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
            ("map files (mmap)", lambda: _map(fd)),
            ("sync files (fsync)", lambda: os.fsync(fd)),
            ("rename files", lambda: os.rename(path, moved)),
        ):
            _try(folder, what, operation)
    finally:
        os.close(fd)
        for left in (path, moved):
            left.unlink(missing_ok=True)


def unfit(folder: Path, operation: str, error: OSError) -> FileSystemUnfit:
    """Return the error that names the file system of `folder`, on which `operation` has failed."""
    mount = mounts.of(folder)
    why = f"{operation}: {os.strerror(error.errno or 0)}"
    if error.errno in _FULL:
        detail = f"{mount} is full ({why}): make room"
    elif error.errno == errno.EROFS:
        detail = f"{mount} is read-only ({why}): mount a volume that can be written there"
    else:
        detail = f"{mount} cannot {why}: {_REMEDIES.get(mount.kind, _REMEDY)}"
    return FileSystemUnfit(error.errno, detail, str(folder))


def is_busy(error: OSError) -> bool:
    """Return whether a lock failed because another process holds it, and not because locks do not work."""
    return error.errno in _BUSY


def locked_by(path: Path) -> int | None:
    """Return the pid of another process here that holds a lock (fcntl) on the file; None if there is none. Raise OSError.

    Closing the file releases this process's own locks on it: no other descriptor of it may be open here.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return pid if kind != fcntl.F_UNLCK else None


def _try(folder: Path, name: str, operation: Callable[[], object]) -> None:
    try:
        operation()
    except (OSError, ValueError) as error:  # mmap raises ValueError for a file that is shorter than it has to be
        failed = error if isinstance(error, OSError) else OSError(errno.EIO, os.strerror(errno.EIO))
        raise unfit(folder, name, failed) from None


def _map(fd: int) -> None:
    with mmap.mmap(fd, _BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as shared:
        shared[0] = 1
