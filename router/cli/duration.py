"""Lengths of time as people type them: 90, 90s, 15m, 2h, 7d."""

from __future__ import annotations

import re
from typing import Final

from router.cli.failure import USAGE
from router.errors import OperatorError

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_WRITTEN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")


def seconds(text: str) -> float:
    """Return `text` in seconds; raise OperatorError (usage) that says how to write one."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        detail = f"{text!r} is no length of time: write 90s, 15m, 2h or 7d"
        raise OperatorError(400, "duration_invalid", detail, exit_code=USAGE)
    return float(match[1]) * _UNITS_S[match[2]]
