"""Texts that several features write: a text cut to a length, a duration with its unit. Pure: values in, text out."""

from __future__ import annotations

import re

from router.runtime.printable import printable


def shorten(text: str, chars_max: int, *, kept: int | None = None) -> str:
    """Return `text`; if it is longer than `chars_max`, its first `kept` characters and "…" (by default `chars_max` in all)."""
    return text if len(text) <= chars_max else text[: chars_max - 1 if kept is None else kept] + "…"


def shorten_line(text: str, chars_max: int) -> str:
    """Return `text` from outside as one printable line of at most `chars_max` characters; a run of white space is one space."""
    return shorten(printable(" ".join(re.split(r"[ \t\r\n]+", text[: 4 * chars_max])).strip()), chars_max)


def format_duration(seconds: float) -> str:
    """Return a duration in seconds as text: `0.4 s`, `42.1 s`, `7 min 5 s`, `3 h 20 min`."""
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def format_seconds(value: float) -> str:
    """Return a duration in seconds as text, below 0.95 s in milliseconds: `41 ms`, `1.5 s`, `7 min 5 s`."""
    return format_duration(value) if value >= 0.95 else f"{value * 1000:.0f} ms"


def format_micros(value: float) -> str:
    """Return a duration in microseconds as text: `85 µs`, `14 ms`."""
    return f"{value:.0f} µs" if value < 10_000 else format_seconds(value / 1e6)


def format_millis(value: float) -> str:
    """Return a duration in milliseconds as text: `3.25 ms`, `1.5 s`."""
    return f"{value:.3g} ms" if value < 950 else format_duration(value / 1000)
