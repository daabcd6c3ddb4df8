from __future__ import annotations

import re

import pytest

from router.rollout.cases import redaction as redacting
from router.rollout.cases.redaction import redaction


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("/v1/score", "/v1/score", id="no query"),
        pytest.param("/v1/score?user=ann&k=5&k&e=", "/v1/score?user=redacted&k=5&k&e=", id="values go, unless named"),
        pytest.param("/v1/score?s3cr3t", "/v1/score?redacted", id="what may be a value goes"),
        pytest.param("/users/1234-5678/x?k=1234-5678", "/users/[redacted]/x?k=[redacted]", id="patterns everywhere"),
        pytest.param("/1234-5678/x", "/[redacted]/x", id="a part of a path"),
        pytest.param("/1234-5678" + "x" * 1024, "/[redacted]", id="too long to be searched"),
        pytest.param("*", "*", id="asterisk"),
    ],
)
def test_a_target(before: str, after: str) -> None:
    assert redacting.target(redaction([], [r"\d{4}-\d{4}"], ["k"]), before) == after


@pytest.mark.parametrize(
    ("paths", "patterns", "expected"),
    [
        pytest.param(["a.b"], [], "'a.b' is no JSON pointer", id="path"),
        pytest.param([], ["("], "'(' is no regular expression: missing )", id="pattern"),
    ],
)
def test_a_wrong_rule_is_named(paths: list[str], patterns: list[str], expected: str) -> None:
    with pytest.raises(ValueError, match=r"^" + re.escape(expected)):
        redaction(paths, patterns, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("/1234%2D5678/x", "/[redacted]", id="percent-encoded"),
        pytest.param("/a%20b/x", "/a%20b/x", id="nothing behind the encoding"),
        pytest.param("/x?k=1234%2D5678", "/x?[redacted]", id="in a value that is kept"),
        pytest.param("/x?1234%2D5678=1", "/x?[redacted]=redacted", id="in a name"),
    ],
)
def test_an_encoded_target(before: str, after: str) -> None:
    assert redacting.target(redaction([], [r"\d{4}-\d{4}"], ["k"]), before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r'{"mail":"x\u0040y"}', "[redacted]"),
        ("x&#64;y", "[redacted]"),
        ("x&commat;y", "[redacted]"),
        ("x%40y", "[redacted]"),
        (r"100 % & more \u00e9", r"100 % & more \u00e9"),
        ("a&amp;x@y", "a&amp;[redacted]"),
    ],
)
def test_a_match_that_shows_only_without_escapes_hides_the_text(before: str, after: str) -> None:
    assert redacting.text(redaction([], ["x@y"], []), before) == after


def test_a_pattern_that_finds_the_first_slash_leaves_a_path() -> None:
    assert redacting.target(redaction([], [r"/users/\w+"], []), "/users/ann/x") == "/[redacted]/x"
