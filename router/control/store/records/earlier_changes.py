"""The changes that requests with an `Idempotency-Key` have made before this start, as a fold of the journal.

A request that is repeated after a restart finds its change here. A record that was struck out has made no change, and its key is
free again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from router.control.store.records.request_key import RequestKey
from router.rollout.facts.entry import Entry

KEYS_MAX: Final = 1000
"""Keys that are remembered, the newest ones."""
KEPT_S: Final = 24 * 3600.0
"""Seconds for which a key is remembered."""


@dataclass(frozen=True, slots=True)
class EarlierChange:
    """`request` is the digest of the request; `entry` is the first of its record."""

    request: str
    entry: Entry


def earlier_changes(
    keys: Mapping[int, RequestKey], effective: Iterable[Entry], now_s: float
) -> dict[str, EarlierChange]:
    """Return the changes by the digest of their key, oldest first: at most KEYS_MAX, younger than KEPT_S at `now_s` (wall).

    `keys` are those of records, by the number of their first entry; `effective` has the entries that count. If a key was used
    twice, because it was free again, the newer change counts.
    """
    made: dict[str, EarlierChange] = {}
    for entry in effective:
        key = keys.get(entry.seq)
        if key is not None and now_s - entry.at < KEPT_S:
            made.pop(key.key, None)
            made[key.key] = EarlierChange(key.request, entry)
    return dict(list(made.items())[-KEYS_MAX:])
