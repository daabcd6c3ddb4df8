"""Formats the values of an incident for reports: durations, shares, counts; and escapes text for Markdown."""

from __future__ import annotations

import re
from typing import Any, Final

from router.rollout.stats.figures import format_value
from router.rollout.text import format_duration, format_micros, format_millis, format_seconds
from router.runtime.printable import printable_lines
from router.runtime.text.hints import Hints

UNKNOWN: Final = "unknown"
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_MARKUP_AT_START: Final = re.compile(r"^(\s*)([-+=]|\d+[.)])")


def known(value: object) -> str:
    """Return `value` as text, UNKNOWN if there is none."""
    return UNKNOWN if value is None or value == "" else str(value)


def seconds(value: float | None) -> str:
    """Return a duration given in seconds."""
    return UNKNOWN if value is None else format_seconds(value)


def micros(value: float | None) -> str:
    """Return a duration given in microseconds."""
    return UNKNOWN if value is None else format_micros(value)


def millis(value: float | None) -> str:
    """Return a duration given in milliseconds."""
    return UNKNOWN if value is None else format_millis(value)


def share(value: float | None) -> str:
    """Return a share (0 to 1) as per cent."""
    if value is None:
        return UNKNOWN
    return f"{value * 100:.3g} %"


def count(value: float | None) -> str:
    """Return a whole number with narrow spaces between its thousands."""
    return UNKNOWN if value is None else f"{value:,.0f}".replace(",", "\u202f")


def command(template: str, **values: str) -> str:
    """Return a command that can be pasted (router/runtime/text/hints.py)."""
    return Hints().command(template, **values)


def clock(value: str | None) -> str:
    """Return the time of day of an RFC 3339 time, for a table that has the date above it."""
    return UNKNOWN if value is None else value[11:23]


def signed(at_s: float) -> str:
    """Return a time before or after the decision, with its sign."""
    if abs(at_s) < 0.0005:
        return "0"
    size = f"{abs(at_s) * 1000:.3g} ms" if abs(at_s) < 0.95 else format_duration(abs(at_s))
    return f"{'−' if at_s < 0 else '+'}{size}"


def trigger_value(trigger: dict[str, Any], member: str) -> str:
    """Return one number of a trigger in its unit: a share of requests, seconds, alerts, or faults in a row."""
    return format_value(trigger, member)


def errors(by_class: dict[str, int] | None) -> str:
    """Return counts by class in one line."""
    if by_class is None:
        return UNKNOWN
    return ", ".join(f"{count(number)} {kind}" for kind, number in by_class.items()) or "none"


def failed(impact: dict[str, Any]) -> str:
    """Return how many attempts failed, and how many of them before the decision."""
    total, until = impact["failed"], impact["failed_until_decision"]
    if total is None:
        return UNKNOWN
    return f"{count(total)}, {count(until)} of them until the decision"


def rescue_results(rescue: dict[str, int]) -> str:
    """Return how the requests ended that were rescued before the decision. The parts add up."""
    outcomes = (
        ("answered", "answered"),
        ("failed", "failed again"),
        ("other", "otherwise ended"),
        ("under_way", "under way then"),
    )
    parts = [f"{count(rescue[name])} {text}" for name, text in outcomes if rescue[name]]
    return f"{count(rescue['rescued'])} of them until the decision" + (f": {', '.join(parts)}" if parts else "")


def md(value: object) -> str:
    """Return a text escaped for Markdown, in one line of a table or paragraph."""
    text = " ".join(printable_lines(str(value)).split())
    return _MARKUP_AT_START.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", text))
