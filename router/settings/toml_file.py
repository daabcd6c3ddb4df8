"""Reads the settings file: TOML in UTF-8, with or without a byte order mark. Every error names the file and the remedy."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime.text import file_text

FILE_BYTES_MAX: Final = 4 << 20
_KINDS: Final = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))


def read(path: Path) -> dict[str, Any]:
    """Return the document; raise StartError. An empty file is an empty document."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):  # a FIFO would block, and could not be read again at SIGHUP
            kind = next((name for test, name in _KINDS if test(mode)), "a device")
            raise StartError(StartCode.SETTINGS_MISSING, f"settings file {path} is {kind}: name a file")
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        raise StartError(StartCode.SETTINGS_MISSING, f"settings file {path} does not exist or is not a file") from None
    except OSError as error:
        remedy = f"make it readable for uid {os.geteuid()}"
        raise StartError(StartCode.SETTINGS_INVALID, f"{path}: {error.strerror}: {remedy}") from None
    if len(raw) > FILE_BYTES_MAX:
        raise StartError(StartCode.SETTINGS_INVALID, f"{path}: it has more than {FILE_BYTES_MAX} bytes")
    try:
        return tomllib.loads(file_text.decoded(raw))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError and names line and column
        raise StartError(StartCode.SETTINGS_INVALID, f"{path}: {error}") from None
