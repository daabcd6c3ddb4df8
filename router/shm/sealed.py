"""Anonymous memory (memfd_create(2)) with seals: its size is fixed, and optionally its contents are, too.

If another process could truncate the memory, every process that has mapped it would die of SIGBUS. The process that creates
the memory therefore seals it (fcntl(2), "File Sealing"), and a process that receives a descriptor checks the seals before it
maps or reads.
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
    """Return the descriptor of new, zeroed memory that every process may write."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    return _sealed(fd, SIZE, lambda: os.ftruncate(fd, size_bytes))


def holding(name: str, contents: bytes) -> int:
    """Return the descriptor of new, read-only memory that holds `contents`."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)

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


def _sealed(fd: int, seals: int, fill: Callable[[], None]) -> int:
    try:
        fill()
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:  # raised again; only the descriptor must not leak
        os.close(fd)
        raise
    return fd
