"""The settings document: a memfd that the supervisor writes and its children read; eight bytes of length, then the bytes.

A child that reads while the supervisor writes may see a torn document, which then does not parse; but it is told to read
again right after every change, so the reading that counts is whole.
"""

from __future__ import annotations

import os
from typing import Final

LENGTH_BYTES: Final = 8


def create(document: bytes) -> int:
    """Return the descriptor of a new memfd that holds `document`."""
    fd = os.memfd_create("rollback-router-settings", os.MFD_CLOEXEC)
    write(fd, document)
    return fd


def write(fd: int, document: bytes) -> None:
    """Replace what the memfd holds."""
    os.pwrite(fd, len(document).to_bytes(LENGTH_BYTES, "little") + document, 0)


def read(fd: int) -> bytes:
    """Return what the memfd holds. The file position, which all processes share, is not touched."""
    length = int.from_bytes(os.pread(fd, LENGTH_BYTES, 0), "little")
    return os.pread(fd, length, LENGTH_BYTES)
