"""How many cases a service may have, and which of them go: the oldest captured ones, never one that a person wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredSuite:
    """One case as the caps see it: `added_at` in wall seconds, `size_bytes` of its document."""

    id: str
    added_at: float
    size_bytes: int
    captured: bool


def to_drop(held: Sequence[StoredSuite], new: StoredSuite, cases_max: int, bytes_max: int) -> list[str] | None:
    """Return whom `new` displaces, the oldest first; None if there is no room for it. A case of the same id makes room."""
    others = [case for case in held if case.id != new.id]
    cases, size_bytes = len(others) + 1, sum(case.size_bytes for case in others) + new.size_bytes
    dropped = []
    for case in sorted((case for case in others if case.captured), key=lambda case: case.added_at):
        if cases <= cases_max and size_bytes <= bytes_max:
            break
        dropped.append(case.id)
        cases -= 1
        size_bytes -= case.size_bytes
    return dropped if cases <= cases_max and size_bytes <= bytes_max else None


def expired(held: Iterable[StoredSuite], now_s: float, expire_after_s: float) -> list[str]:
    """Return the captured cases that are older than they may become."""
    return [case.id for case in held if case.captured and now_s - case.added_at >= expire_after_s]
