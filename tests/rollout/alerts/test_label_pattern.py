"""Expressions that a stranger's values cannot make slow."""

from __future__ import annotations

import pytest

from router.rollout.alerts.label_pattern import PATTERN_CHARS_MAX, VALUE_CHARS_MAX, bounded, matches


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        pytest.param("critical|page", "page", "pager", id="alternatives, the whole value"),
        pytest.param("(fraud|risk)-.+", "risk-v2", "fraud-", id="a group"),
        pytest.param("(?:a|b)c", "bc", "c", id="a group that keeps nothing"),
        pytest.param(r"v\d{1,3}", "v12", "v1234", id="a bounded repeat"),
        pytest.param(r"[a-z.\]]+", "a.]b", "A", id="a class"),
        pytest.param(r"a\.b\(c\)", "a.b(c)", "axb(c)", id="escapes"),
        pytest.param("", "", "x", id="nothing"),
    ],
)
def test_what_is_allowed_matches_the_whole_value(pattern: str, fits: str, fits_not: str) -> None:
    assert bounded(pattern) == pattern
    assert matches(pattern, fits)
    assert not matches(pattern, fits_not)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        pytest.param("(a+)+", "of bounded cost", id="a repeated group"),
        pytest.param("(a|aa)*", "of bounded cost", id="a repeated alternative"),
        pytest.param("((a))", "of bounded cost", id="a nested group"),
        pytest.param("a?a?a?", "has 3 quantifiers", id="optional ones multiply"),
        pytest.param(".*a.*b.*", "has 3 quantifiers", id="cubic"),
        pytest.param("(a|b)(c|d)", "has 2 groups", id="groups multiply"),
        pytest.param(r"(a)\1", "of bounded cost", id="a reference back"),
        pytest.param("(?=a)a", "of bounded cost", id="looking ahead"),
        pytest.param("^a$", "of bounded cost", id="anchors say nothing new"),
        pytest.param("[b-a]", "is no expression", id="no expression"),
        pytest.param("a{3,2}", "is no expression", id="an empty range"),
        pytest.param("x" * (PATTERN_CHARS_MAX + 1), "at most 200 characters", id="too long"),
    ],
)
def test_what_is_not(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bounded(pattern)


def test_a_long_value_never_matches() -> None:
    assert matches("a*", "a" * VALUE_CHARS_MAX)
    assert not matches("a*", "a" * (VALUE_CHARS_MAX + 1))
