from __future__ import annotations

import pytest

from router.control.incidents import formatting


@pytest.mark.parametrize(
    ("formatted", "expected"),
    [
        (formatting.seconds(None), "unknown"),
        (formatting.seconds(0.0421), "42 ms"),
        (formatting.seconds(75), "75 s"),
        (formatting.seconds(12_000), "3 h 20 min"),
        (formatting.micros(41), "41 µs"),
        (formatting.micros(25_000), "25 ms"),
        (formatting.millis(1.07), "1.07 ms"),
        (formatting.millis(2_500), "2.5 s"),
        (formatting.share(0.0123), "1.23 %"),
        (formatting.share(None), "unknown"),
        (formatting.count(11_930), "11\u202f930"),
        (formatting.count(None), "unknown"),
        (formatting.known(""), "unknown"),
        (formatting.known(0), "0"),
        (formatting.clock("2026-11-23T04:01:10.001Z"), "04:01:10.001"),
        (formatting.signed(0.0), "0"),
        (formatting.signed(0.002), "+2 ms"),
        (formatting.signed(-9.9), "−9.9 s"),
        (formatting.errors({}), "none"),
        (formatting.errors(None), "unknown"),
        (formatting.errors({"timed_out": 2, "truncated": 1000}), "2 timed_out, 1\u202f000 truncated"),
    ],
)
def test_values_as_people_read_them(formatted: str, expected: str) -> None:
    assert formatted == expected


@pytest.mark.parametrize(
    ("kind", "detail", "value", "expected"),
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
def test_a_number_of_a_trigger_has_its_unit(kind: str, detail: str, value: float | None, expected: str) -> None:
    assert formatting.trigger_value({"kind": kind, "detail": detail, "value": value}, "value") == expected


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
    assert formatting.md(text) == escaped
