"""Places in a JSON document: `user.cards.*.number`. A part is a member's name or an item's number; `*` is any one of them, `**`
any depth, none included.

A document is walked from the top, so a path is matched as one goes: `begun` at the top, `stepped` into each member, and there
where the whole path is behind one. It costs the same however deep a client has nested its document.
"""

from __future__ import annotations

from collections.abc import Sequence


def path_of(text: str) -> tuple[str, ...]:
    """Return the parts of a path into JSON: `user.cards.*.number`; `*` is any one member, `**` any depth; `$.` may precede.

    Raise ValueError, saying how to write one.
    """
    parts = tuple(text.removeprefix("$.").split("."))
    if not all(parts):
        raise ValueError(f"{text!r} is no path into JSON: write it as user.cards.*.number or **.email")
    return parts


def covers(path: Sequence[str], place: Sequence[str]) -> bool:
    """Return whether `path` names `place` exactly."""
    reached = begun(path)
    for part in place:
        reached = stepped(path, reached, part)
    return len(path) in reached


def begun(path: Sequence[str]) -> frozenset[int]:
    """Return how much of `path` may be behind one at the top of a document."""
    return _through(path, {0})


def stepped(path: Sequence[str], reached: frozenset[int], part: str) -> frozenset[int]:
    """Return how much of `path` may be behind one who goes from there into member `part`."""
    further = set()
    for number in reached:
        if number < len(path) and path[number] == "**":
            further.add(number)
        elif number < len(path) and path[number] in ("*", part):
            further.add(number + 1)
    return _through(path, further)


def _through(path: Sequence[str], reached: set[int]) -> frozenset[int]:
    """`**` may stand for nothing."""
    for number in range(len(path)):
        if number in reached and path[number] == "**":
            reached.add(number + 1)
    return frozenset(reached)
