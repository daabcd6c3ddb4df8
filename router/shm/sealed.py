"""Memory without a name (memfd_create(2)) whose size nobody can change any more, and whose contents perhaps neither.

Memory that another process can cut ends whoever has mapped it by SIGBUS. The maker seals it (fcntl(2), "File Sealing"), and
whoever is given a descriptor looks at its seals before it maps or reads.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import Final

from router.errors import InternalError

SIZE: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
CONTENTS: Final = SIZE | fcntl.F_SEAL_WRITE
_CHUNK_BYTES: Final = 1 << 20


def of_size(name: str, size_bytes: int) -> int:
    """Return the descriptor of new memory of zeroes, for all to write."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    return _sealed(fd, SIZE, lambda: os.ftruncate(fd, size_bytes))


def holding(name: str, contents: bytes) -> int:
    """Return the descriptor of new memory that holds `contents`, for all to read."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)

    def fill() -> None:
        at = 0
        while at < len(contents):
            at += os.pwrite(fd, contents[at : at + _CHUNK_BYTES], at)

    return _sealed(fd, CONTENTS, fill)


def check(fd: int, seals: int, what: str) -> None:
    """Raise InternalError unless the memory behind `fd` has these seals."""
    try:
        found = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:  # EINVAL: no memory of this kind
        found = 0
    if found & seals != seals:
        raise InternalError(
            "memory_unsealed", f"descriptor {fd} of the {what} has seals {found:#x}, and needs {seals:#x}"
        )


def _sealed(fd: int, seals: int, fill: Callable[[], None]) -> int:
    try:
        fill()
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:  # whatever it is goes on up; only the descriptor must not stay
        os.close(fd)
        raise
    return fd
