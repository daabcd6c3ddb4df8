"""Printable JSON: unprintable characters are written as `\\u…`, which keeps the value (RFC 8259 §7)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from router.runtime.printable import printable_lines


def json_bytes(document: Any, option: int | None = None, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return `document` as JSON; arguments as of orjson.dumps."""
    try:
        made = orjson.dumps(document, default, option)
    except TypeError:  # a lone surrogate, which UTF-8 cannot encode; a value that is no JSON fails here, too
        made = json.dumps(document, default=default).encode()
    if made.isascii() and b"\x7f" not in made:
        return made
    return printable_lines(made.decode()).encode()
