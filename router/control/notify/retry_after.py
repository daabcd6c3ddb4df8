"""How long a receiver asks to wait: Retry-After (RFC 9110 §10.2.3), and the forms of receivers that write it elsewhere.

Slack, Teams and most others send Retry-After. Discord repeats it as `retry_after` in its JSON, PagerDuty sends `ratelimit-reset`,
and gateways send `x-ratelimit-reset-after` or `x-ratelimit-reset` (seconds, or a time since 1970).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

RETRY_AFTER_MAX_S: Final = 3600.0
"""A longer wait is cut: a wrong date must not silence a channel for a day."""
_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_EPOCH_FROM: Final = 1e9
_ELSEWHERE: Final = ("x-ratelimit-reset-after", "ratelimit-reset", "x-ratelimit-reset")


def retry_after_s(
    status: int, fields: Mapping[str, str], document: Mapping[str, Any] | None, now_s: float
) -> float | None:
    """Return the seconds to wait, at most RETRY_AFTER_MAX_S; None if nothing usable is given. `now_s` is wall time.

    `fields` finds names in any case. What is negative, past or no number is no wait.
    """
    found = _delay(fields.get("Retry-After", ""), fields.get("Date", ""), now_s)
    if found is None and status == 429:
        found = next((value for name in _ELSEWHERE if (value := _reset(fields.get(name, ""), now_s)) is not None), None)
        asked = (document or {}).get("retry_after")
        if found is None and isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0:
            found = float(asked)
    return None if found is None else min(found, RETRY_AFTER_MAX_S)


def _delay(text: str, date: str, now_s: float) -> float | None:
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    until_s = _wall_s(text)
    if until_s is None:
        return None
    answered_s = _wall_s(date)  # the receiver's clock, if it tells it
    return max(0.0, until_s - (now_s if answered_s is None else answered_s))


def _wall_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def _reset(text: str, now_s: float) -> float | None:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return max(0.0, value - now_s) if value >= _EPOCH_FROM else value
