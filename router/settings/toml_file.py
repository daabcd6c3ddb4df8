"""Reads the settings file: TOML in UTF-8, with or without a byte order mark. Every error names the file and the remedy."""

from __future__ import annotations

import os
import re
import stat
import tomllib
import unicodedata
from pathlib import Path
from typing import Any, Final

from router.errors import StartError
from router.errors.codes import StartCode
from router.runtime.text import file_text
from router.settings.mistakes import Mistake, SettingsError

FILE_BYTES_MAX: Final = 4 << 20
_PLACE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")
_AT_END: Final = "(at end of document)"
_KINDS: Final = ((stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))


def read(path: Path) -> dict[str, Any]:
    """Return the document; raise StartError. An empty file is an empty document."""
    return read_with_text(path)[0]


def read_with_text(path: Path) -> tuple[dict[str, Any], str]:
    """Return the document and its text; raise StartError."""
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
    text = ""
    try:
        text = file_text.decoded(raw)
        return tomllib.loads(text), text
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError and names line and column
        raise SettingsError([_syntax(path, text, str(error))]) from None


def _syntax(path: Path, text: str, error: str) -> Mistake:
    """Return the mistake of a text that is no TOML, at its place, which tomllib names in the message."""
    words = _PLACE.sub("", error.removesuffix(_AT_END)).strip() + _remedy(text, error)
    if place := _PLACE.search(error):
        return Mistake("", words, str(path), int(place[1]), int(place[2]))
    lines = text.split("\n")
    if error.endswith(_AT_END):
        return Mistake("", words, str(path), len(lines), len(lines[-1]) + 1)
    return Mistake("", words, str(path))


def _remedy(text: str, error: str) -> str:
    """Return what is wrong at the place that the error names, if an editor or another dialect explains it; else nothing."""
    place = _PLACE.search(error)
    if place is None:
        return ""
    line = text.split("\n")[int(place[1]) - 1]
    found = line[int(place[2]) - 1 :][:1].strip("\r")
    if not found.isascii():
        name = unicodedata.name(found, "a character without a name")
        return f": U+{ord(found):04X} ({name}) stands there: write a plain quote or blank, or remove it"
    if found == "{" and not line[: int(place[2]) - 1].strip():
        return ": it seems to be JSON: write it in TOML, NAME = VALUE"
    if found == ":":
        return ": it seems to be YAML: write it in TOML, NAME = VALUE"
    if found in ("", "#", "}") and "key" in error:
        return ": an inline table { … } stands on one line, without a comma at its end (TOML 1.0)"
    return ""
