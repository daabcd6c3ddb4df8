"""The time of the first fault in a trigger: a fact has the seconds before it, memory the monotonic time of this router.

A trigger as the judge makes it has `evidence_since_ns`, on the monotonic clock of one boot of one router. In a fact it has
`evidence_since_s` instead: the seconds from the first fault to the decision. They mean the same on every router and after every
boot. Entries of older releases have `evidence_since_ns`; it is replaced when they are read.
"""

from __future__ import annotations

from typing import Final

from router.rollout.facts.fact import Document
from router.rollout.units import SECOND_NS

_NS: Final = "evidence_since_ns"
_S: Final = "evidence_since_s"


def in_fact(trigger: Document | None, at_ns: int) -> Document | None:
    """Return a trigger with the seconds before the decision at `at_ns`; `trigger` itself if it has no monotonic time."""
    if not trigger or _NS not in trigger:
        return trigger
    since_ns = trigger[_NS]
    found = {name: value for name, value in trigger.items() if name != _NS}
    found[_S] = (at_ns - since_ns) / SECOND_NS if since_ns else None
    return found


def in_memory(trigger: Document | None, at_ns: int) -> Document | None:
    """Return the trigger of a fact as the judge made it: with the monotonic time of the first fault. The inverse of `in_fact`."""
    if not trigger or _S not in trigger:
        return trigger
    since_s = trigger[_S]
    found = {name: value for name, value in trigger.items() if name != _S}
    found[_NS] = None if since_s is None else at_ns - round(since_s * SECOND_NS)
    return found


def seconds_before(trigger: Document | None) -> float | None:
    """Return the seconds from the first fault of a fact's trigger to the decision, 0 or more; None if that is not known."""
    since_s = (trigger or {}).get(_S)
    return None if since_s is None else max(0.0, since_s)
