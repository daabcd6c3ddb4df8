"""A period of wall time as an operator writes it: `30d`, `12h`, `2026-11-01`, `2026-11-01T08:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, NamedTuple

UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
YEARS_MAX: Final = 10
_SPAN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw])")


class Period(NamedTuple):
    """Wall seconds since the epoch; `until_s` is not part of it."""

    since_s: float
    until_s: float

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.until_s - self.since_s

    def overlap_s(self, since_s: float, until_s: float) -> float:
        """Return how many seconds of another period lie within this one."""
        return max(0.0, min(self.until_s, until_s) - max(self.since_s, since_s))


def moment(text: str, now_s: float) -> float:
    """Return the wall time that `text` names: a time before now, or an ISO 8601 date or time (UTC without an offset).

    Raise ValueError with the right spelling.
    """
    if span := _SPAN.fullmatch(text):
        found = now_s - float(span[1]) * UNITS_S[span[2]]
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text[:40]!r}: write 30d, 12h, 45m, 2026-11-01 or 2026-11-01T08:00Z") from None
        found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if found < now_s - YEARS_MAX * 366 * UNITS_S["d"]:
        raise ValueError(f"{text[:40]!r} is more than {YEARS_MAX} years ago")
    return found


def period(since: str, until: str, now_s: float) -> Period:
    """Return the period from `since` to `until` ("": now); raise ValueError that names the invalid value."""
    begins_s, ends_s = moment(since, now_s), moment(until, now_s) if until else now_s
    if begins_s >= ends_s:
        raise ValueError(f"since {since[:40]!r} is not before until {until[:40] or 'now'!r}: nothing lies between")
    return Period(begins_s, min(ends_s, max(now_s, begins_s)))
