from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.rollout.text import format_duration, format_micros, format_millis, format_seconds, shorten, shorten_line


@pytest.mark.parametrize(
    ("chars_max", "kept", "text"),
    [(5, None, "12345"), (4, None, "123…"), (4, 4, "1234…"), (3, 1, "1…"), (5, 5, "12345")],
)
def test_a_long_text_is_cut_and_marked(chars_max: int, kept: int | None, text: str) -> None:
    assert shorten("12345", chars_max, kept=kept) == text


def test_a_text_from_outside_is_one_short_line() -> None:
    assert shorten_line(" a\r\n\tb  c ", 20) == "a b c"
    assert shorten_line("x\x1b" + "y" * 100, 10) == "x\\u001byy…"


@given(st.text())
def test_a_shortened_line_is_never_longer_than_its_limit(text: str) -> None:
    assert len(shorten_line(text, 20)) <= 20


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (format_seconds, 0.041, "41 ms"),
        (format_seconds, 1.5, "1.5 s"),
        (format_micros, 85, "85 µs"),
        (format_micros, 9_999, "9999 µs"),
        (format_micros, 14_093, "14 ms"),
        (format_millis, 3.25, "3.25 ms"),
        (format_millis, 1_500, "1.5 s"),
        (format_millis, 0.04, "0.04 ms"),
    ],
)
def test_short_durations_in_milliseconds_or_less(write: Callable[[float], str], value: float, text: str) -> None:
    assert write(value) == text


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.4, "0.4 s"),
        (42.06, "42.1 s"),
        (110.0, "110 s"),
        (425.0, "7 min 5 s"),
        (120.0, "2 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_durations_in_seconds_minutes_and_hours(duration_s: float, text: str) -> None:
    assert format_duration(duration_s) == text
