"""The header fields of versions, from their files. They may be secrets: they are never logged or shown.

A file is read when a version is deployed, at a start, and at SIGHUP. Between these the fields in memory are used, so that no
switch waits for a disk.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.model.rewrite import FIELDS_BYTES_MAX, parse_fields
from router.runtime.text import file_text

Fields = tuple[tuple[str, str], ...]


class HeaderFiles:
    """The fields by the path of their file."""

    def __init__(self) -> None:
        self._known: dict[str, Fields] = {}

    def load(self, path: str | None) -> Fields:
        """Read a file; raise Refusal that names file, line and remedy. No path: no fields."""
        if path is None:
            return ()
        self._known[path] = fields = read(path)
        return fields

    def fields(self, path: str | None) -> Fields:
        """Return the fields that were read last; read them if they never were. Raise Refusal as `load`."""
        known = self._known.get(path) if path is not None else None
        return known if known is not None else self.load(path)

    def reload(self) -> dict[str, str]:
        """Read all files again; return the errors by path. A file that cannot be used keeps its last fields."""
        errors = {}
        for path in self._known:
            try:
                self.load(path)
            except Refusal as error:
                errors[path] = error.detail
        return errors


def read(path: str) -> Fields:
    """Return the fields of a file; raise Refusal that names file, line and remedy."""

    def unusable(why: str) -> Refusal:
        return Refusal(RefusalCode.HEADERS_FILE_UNUSABLE, f"headers_file {path}: {why}")

    try:
        with Path(path).open("rb") as file:
            text = file_text.decoded(file.read(FIELDS_BYTES_MAX + len(codecs.BOM_UTF8) + 1))
        if not text.isascii():
            raise ValueError("it is no ASCII text; write fields as Name: value, a line each")
        return parse_fields(text)
    except OSError as error:
        raise unusable(f"{error.strerror}; make it readable for the router's user, or name another file") from None
    except ValueError as error:
        raise unusable(str(error)) from None
