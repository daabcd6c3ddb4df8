"""Secrets from files, environment variables and flags: tokens, passwords, keys, and URLs that contain one.

One function decides what is a usable secret. Tools add a newline to the end of a file or a variable (`echo`, `kubectl create
secret --from-file`, editors); white space and a byte order mark around a secret are removed. A control character inside is
refused: in a header field it would end the field. Every error names the source of the secret and never repeats it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from router.runtime.text import file_text

SECRET_BYTES_MAX: Final = 8192
_AROUND: Final = " \t\r\n\v\f\ufeff"
_USER: Final = re.compile(r"(?<=://)[^\s'\"]*@")
_QUERY: Final = re.compile(r"(://[^\s'\"?#]*)[?#][^\s'\"]*")
_BAD_ESCAPES: Final = re.compile(r"[\ud800-\udfff]")


class SecretUnusable(ValueError):
    """The message names the source and the defect, and never repeats the secret."""


def cleaned(text: str, source: str, *, ascii_only: bool = True) -> str:
    """Return the secret without white space around it; raise SecretUnusable for an empty one and for control characters.

    `source` names the file, variable or flag. `ascii_only`: the secret goes into a header field as it is.
    """
    text = text.strip(_AROUND)
    if not text:
        raise SecretUnusable(f"{source} is empty")
    if any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or char in "\u2028\u2029" for char in text):
        kind = "a line break" if any(char in text for char in "\r\n\u2028\u2029\x85") else "a control character"
        raise SecretUnusable(f"{source} holds {kind} inside: a secret is one line of visible characters")
    if _BAD_ESCAPES.search(text):
        raise SecretUnusable(f"{source} is not UTF-8: a secret is one line of visible characters")
    if ascii_only and not text.isascii():
        raise SecretUnusable(f"{source} holds a character that is not ASCII: a header field cannot carry it")
    return text


def from_file(path: str | Path, *, source: str = "", bytes_max: int = SECRET_BYTES_MAX, ascii_only: bool = True) -> str:
    """Return the secret in a file; raise OSError, or SecretUnusable. It may hang with its disk: call it in a thread.

    `source` names the file in errors; empty: its path does.
    """
    source = source or str(path)
    with Path(path).open("rb") as file:
        raw = file.read(bytes_max + 1)
    if len(raw) > bytes_max:
        raise SecretUnusable(f"{source} has more than {bytes_max} bytes")
    try:
        text = file_text.decoded(raw)
    except ValueError as error:
        raise SecretUnusable(source + str(error).removeprefix("it")) from None
    return cleaned(text, source, ascii_only=ascii_only)


def masked_urls(text: str) -> str:
    """Return `text` with the user information and the query of each URL hidden: both may be secrets."""
    return _QUERY.sub(r"\1?(hidden)", _USER.sub("(hidden)@", text))
