from __future__ import annotations

import pytest

from router.runtime.text.plurals import counted, plural


@pytest.mark.parametrize(
    ("number", "noun", "form", "text"),
    [
        (0, "request", "", "0 requests"),
        (1, "request", "", "1 request"),
        (2, "request", "", "2 requests"),
        (1, "false alarm", "", "1 false alarm"),
        (3, "false alarm", "", "3 false alarms"),
        (2, "entry", "", "2 entries"),
        (2, "day", "", "2 days"),
        (2, "switch", "", "2 switches"),
        (1.0, "day", ".0f", "1 day"),
        (1.04, "day", ".1f", "1.0 days"),
        (1000, "request", ",", "1,000 requests"),
    ],
)
def test_a_number_with_its_noun(number: float, noun: str, form: str, text: str) -> None:
    assert counted(number, noun, form) == text


def test_verbs_follow_the_number() -> None:
    assert [plural(verb, 1) for verb in ("is", "was", "fails")] == ["is", "was", "fails"]
    assert [plural(verb, 2) for verb in ("is", "was", "fails")] == ["are", "were", "fail"]
