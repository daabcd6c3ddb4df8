from __future__ import annotations

import pytest

from router.control.incidents import words


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (words.seconds(None), "unknown"),
        (words.seconds(0.0421), "42 ms"),
        (words.seconds(75), "75 s"),
        (words.seconds(12_000), "3 h 20 min"),
        (words.micros(41), "41 µs"),
        (words.micros(25_000), "25 ms"),
        (words.millis(1.07), "1.07 ms"),
        (words.millis(2_500), "2.5 s"),
        (words.share(0.0123), "1.23 %"),
        (words.share(None), "unknown"),
        (words.count(11_930), "11\u202f930"),
        (words.count(None), "unknown"),
        (words.known(""), "unknown"),
        (words.known(0), "0"),
        (words.clock("2026-11-23T04:01:10.001Z"), "04:01:10.001"),
        (words.signed(0.0), "0"),
        (words.signed(0.002), "+2 ms"),
        (words.signed(-9.9), "−9.9 s"),
        (words.errors({}), "none"),
        (words.errors(None), "unknown"),
        (words.errors({"timed_out": 2, "truncated": 1000}), "2 timed_out, 1\u202f000 truncated"),
    ],
)
def test_values_as_people_read_them(told: str, shown: str) -> None:
    assert told == shown


@pytest.mark.parametrize(
    ("kind", "detail", "value", "shown"),
    [
        ("error_rate", "", 0.3, "30 %"),
        ("hard_failure", "errors", 1.0, "100 %"),
        ("hard_failure", "errors", 6.0, "6"),
        ("hard_failure", "hang", 10.5, "10.5 s"),
        ("business", "alert", 3.0, "3"),
        ("quality", "alert", 1.0, "1"),
        ("quality", "inputs", 0.4, "40 %"),
        ("latency", "", None, "none"),
    ],
)
def test_a_number_of_a_trigger_has_its_unit(kind: str, detail: str, value: float | None, shown: str) -> None:
    assert words.trigger_value({"kind": kind, "detail": detail, "value": value}, "value") == shown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b `c` <d> [e](f)", "a\\|b \\`c\\` \\<d\\> \\[e\\](f)"),
        ("# no heading", "\\# no heading"),
        ("- no item", "\\- no item"),
        ("1. no list", "\\1. no list"),
        ("two\n\nlines", "two lines"),
        ("&lt;", "\\&lt;"),
    ],
)
def test_any_text_is_only_text_in_markdown(text: str, escaped: str) -> None:
    assert words.md(text) == escaped
