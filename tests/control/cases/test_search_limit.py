"""Searches that would take ages are ended for each cause of slowness."""

from __future__ import annotations

import re

import pytest

from router.control.cases.search_limit import STOPPED_MAX, SearchLimit
from router.rollout.cases.redaction import REDACTED
from router.runtime import clock


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param("(a+)+$", "a" * 40 + "b", id="nested repeats"),
        pytest.param("(a|a)*b", "a" * 200, id="equal alternatives"),
        pytest.param("(x+x+)+y", "x" * 100, id="neighbouring repeats"),
        pytest.param("(.*?,){25}P", "1," * 60, id="counted"),
        pytest.param("(?:a?){60}a{60}", "a" * 60, id="optional"),
        pytest.param(r"(a*)*\1b", "a" * 100, id="back-reference"),
        pytest.param("(?=(a+)+$)b?", "a" * 100 + "b", id="look-ahead"),
        pytest.param(".*.*.*.*.*=.*", "a" * 1024, id="polynomial"),
        pytest.param(r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 100, id="class names"),
        pytest.param("(?i)(\u00df+)+$", "\u00df" * 80 + "x", id="without case"),
    ],
)
def test_a_search_is_ended_and_the_text_redacted(pattern: str, text: str) -> None:
    limit = SearchLimit(search_s=0.02)
    begun_s = clock.cpu_s()
    assert limit.substitute(re.compile(pattern), text) == REDACTED
    assert clock.cpu_s() - begun_s < 0.5
    assert (limit.slow, limit.spent) == ([pattern], False)


def test_usual_searches_find_what_they_find() -> None:
    limit = SearchLimit()
    cards = re.compile(r"\d{13,16}")
    assert limit.substitute(cards, "card 4111111111111111.") == "card [redacted]."
    assert [limit.substitute(cards, "nothing") for _ in range(1000)] == ["nothing"] * 1000
    assert (limit.slow, limit.spent) == ([], False)


def test_a_slow_pattern_is_given_up_and_others_go_on() -> None:
    limit = SearchLimit(search_s=0.01)
    slow, good = re.compile("(a+)+$"), re.compile("x")
    for _ in range(STOPPED_MAX):
        limit.substitute(slow, "a" * 40 + "b")
    begun_s = clock.cpu_s()
    assert [limit.substitute(slow, "harmless") for _ in range(100)] == [REDACTED] * 100
    assert clock.cpu_s() - begun_s < 0.1
    assert limit.substitute(good, "axa") == "a[redacted]a"


def test_all_searches_together_have_a_limit() -> None:
    limit = SearchLimit(searches_s=-1.0)
    assert (limit.substitute(re.compile("x"), "a"), limit.spent, limit.slow) == (REDACTED, True, [])
