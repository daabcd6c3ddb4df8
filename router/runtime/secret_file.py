"""A secret of the state directory: SECRET_BYTES random bytes in a file of this router, mode 0600."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path
from typing import Final

from router.runtime import owned_files

log = logging.getLogger(__name__)
SECRET_BYTES: Final = 32


def read(path: Path) -> bytes:
    """Return the secret; raise FileNotFoundError, OSError, or ValueError for a file of another size."""
    with os.fdopen(owned_files.opened(path, os.O_RDONLY), "rb") as file:
        os.fchmod(file.fileno(), 0o600)
        size_bytes = os.fstat(file.fileno()).st_size
        secret = file.read(SECRET_BYTES)
    if size_bytes != SECRET_BYTES:
        raise ValueError(f"holds {size_bytes} bytes instead of {SECRET_BYTES}")
    return secret


def create(path: Path, purpose: str) -> bytes:
    """Write a new secret, completely or not at all, and return it; raise OSError. `purpose` is for the log."""
    secret = secrets.token_bytes(SECRET_BYTES)
    replace_file(path, secret)
    log.info("made %s, which signs %s", path, purpose)
    return secret


def replace_file(path: Path, content: bytes) -> None:
    """Put a file of mode 0600 with `content` in the place of another one, completely or not at all; raise OSError."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)  # all of it: a nearly full disk takes a part first
        file.flush()
        os.fsync(fd)
    temporary.replace(path)
