"""Whether a place in a JSON document is one that a pointer names, as one walks down to it: `/user/cards/*/number`, `/**/email`.

A document is walked from the top, so a pointer is matched as one goes: `begun` at the top, `stepped` into each member, and
there where the whole pointer is behind one. It costs the same however deep a client has nested its document.
"""

from __future__ import annotations

from collections.abc import Sequence

from router.rollout.pointer import ANY_DEPTH


def covers(pointer: Sequence[str], place: Sequence[str]) -> bool:
    """Return whether `pointer` names `place` exactly."""
    reached = begun(pointer)
    for part in place:
        reached = stepped(pointer, reached, part)
    return len(pointer) in reached


def begun(pointer: Sequence[str]) -> frozenset[int]:
    """Return how much of `pointer` may be behind one at the top of a document."""
    return _through(pointer, {0})


def stepped(pointer: Sequence[str], reached: frozenset[int], part: str) -> frozenset[int]:
    """Return how much of `pointer` may be behind one who goes from there into member `part`."""
    further = set()
    for number in reached:
        if number < len(pointer) and pointer[number] == ANY_DEPTH:
            further.add(number)
        elif number < len(pointer) and pointer[number] in ("*", part):
            further.add(number + 1)
    return _through(pointer, further)


def _through(pointer: Sequence[str], reached: set[int]) -> frozenset[int]:
    """`**` may stand for nothing."""
    for number in range(len(pointer)):
        if number in reached and pointer[number] == ANY_DEPTH:
            reached.add(number + 1)
    return frozenset(reached)
