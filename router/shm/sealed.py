"""Anonymous memory (memfd_create(2)) with seals: its size is fixed, and optionally its contents are, too.

If another process could truncate the memory, every process that has mapped it would die of SIGBUS. The process that creates
the memory therefore seals it (fcntl(2), "File Sealing"), and a process that receives a descriptor checks the seals before it
maps or reads.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import Final

from router.errors import InternalError

SIZE: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
CONTENTS: Final = SIZE | fcntl.F_SEAL_WRITE
_MFD_NOEXEC_SEAL: Final = 0x8
"""memfd_create(2); Python names it from 3.14 on."""
_CHUNK_BYTES: Final = 1 << 20


def of_size(name: str, size_bytes: int) -> int:
    """Return the descriptor of new, zeroed memory that every process may write."""
    fd = _memory(name)
    return _sealed(fd, SIZE, lambda: os.ftruncate(fd, size_bytes))


def holding(name: str, contents: bytes) -> int:
    """Return the descriptor of new, read-only memory that holds `contents`."""
    fd = _memory(name)

    def fill() -> None:
        at = 0
        while at < len(contents):
            at += os.pwrite(fd, contents[at : at + _CHUNK_BYTES], at)

    return _sealed(fd, CONTENTS, fill)


def check(fd: int, seals: int, name: str) -> None:
    """Raise InternalError unless the memory behind `fd` has these seals. `name` is for the message."""
    try:
        found = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # EINVAL: `fd` is not a memfd
        found = 0
    if found & seals != seals:
        raise InternalError(
            "memory_unsealed", f"descriptor {fd} of the {name} has seals {found:#x}, and needs {seals:#x}"
        )


def _memory(name: str) -> int:
    """Return new memory. It needs no file system: /dev/shm and TMPDIR may be absent, full or read-only.

    A kernel with vm.memfd_noexec = 2 gives memory only to callers that ask for memory that cannot be executed. Older kernels
    do not know that flag. Raise InternalError that names the reason.
    """
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        try:
            return os.memfd_create(name, flags)
        except PermissionError:
            return os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        detail = f"the system gives no shared memory (memfd_create: {error.strerror})"
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            detail += ": the container's seccomp profile, or sysctl vm.memfd_noexec, has to allow it"
        raise InternalError("memory_refused", detail) from None


def _sealed(fd: int, seals: int, fill: Callable[[], None]) -> int:
    try:
        fill()
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:  # raised again; only the descriptor must not leak
        os.close(fd)
        raise
    return fd
