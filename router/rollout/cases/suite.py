"""Decides which cases of a service are dropped: the oldest captured ones, never a hand-written one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredCase:
    """The members of a stored case that decide. `added_at` is in wall seconds; `size_bytes` is the size of its
    document.
    """

    id: str
    added_at: float
    size_bytes: int
    captured: bool


def to_drop(stored: Sequence[StoredCase], new: StoredCase, cases_max: int, bytes_max: int) -> list[str] | None:
    """Return the ids of the cases that `new` displaces, oldest first; None if it does not fit. It replaces a case of
    the same id.
    """
    others = [case for case in stored if case.id != new.id]
    cases, size_bytes = len(others) + 1, sum(case.size_bytes for case in others) + new.size_bytes
    dropped = []
    for case in sorted((case for case in others if case.captured), key=lambda case: case.added_at):
        if cases <= cases_max and size_bytes <= bytes_max:
            break
        dropped.append(case.id)
        cases -= 1
        size_bytes -= case.size_bytes
    return dropped if cases <= cases_max and size_bytes <= bytes_max else None


def expired(stored: Iterable[StoredCase], now_s: float, expire_after_s: float) -> list[str]:
    """Return the ids of the captured cases that are at least `expire_after_s` old."""
    return [case.id for case in stored if case.captured and now_s - case.added_at >= expire_after_s]
