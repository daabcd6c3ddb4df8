from __future__ import annotations

import re

import pytest

from router.rollout.cases import redaction as redacting
from router.rollout.cases.redaction import redaction

DEEP = b'{"a":' * 1000 + b'{"email":"x@y.org"}' + b"}" * 1000


@pytest.mark.parametrize(
    ("paths", "patterns", "before", "after"),
    [
        pytest.param([], [], b'{"a": 1}', b'{"a": 1}', id="no rules: to the byte"),
        pytest.param(["/b"], [], b'{"a": 1}', b'{"a": 1}', id="nothing to redact: to the byte"),
        pytest.param(["/user/name"], [], b'{"user":{"name":"Ann","age":3}}',
                     b'{"user":{"name":"[redacted]","age":3}}', id="a text"),
        pytest.param(["/age"], [], b'{"age":31,"name":"x"}', b'{"age":0,"name":"x"}', id="a number"),
        pytest.param(["/**"], [], b'[true,null,1.5,"x",{}]', b'[false,null,0,"[redacted]",{}]', id="each keeps its kind"),
        pytest.param(["/items/*/id"], [], b'{"items":[{"id":"a","v":1},{"id":"b"}]}',
                     b'{"items":[{"id":"[redacted]","v":1},{"id":"[redacted]"}]}', id="any item"),
        pytest.param(["/items/1"], [], b'{"items":[{"id":"a"},{"id":"b","x":2}]}',
                     b'{"items":[{"id":"a"},{"id":"[redacted]","x":0}]}', id="everything below"),
        pytest.param(["/**/email"], [], b'{"email":"a","u":[{"email":"b"}],"emails":"c"}',
                     b'{"email":"[redacted]","u":[{"email":"[redacted]"}],"emails":"c"}', id="at any depth"),
        pytest.param([], [r"\d{4}-\d{4}"], b'{"note":"card 1234-5678.","1234-5678":1}',
                     b'{"note":"card [redacted].","[redacted]":1}', id="a pattern, in names too"),
        pytest.param([], [r"\d{4}"], b"plain 1234", b"plain [redacted]", id="a pattern in what is no JSON"),
        pytest.param(["/a"], [], b"plain", None, id="no JSON: paths cannot be applied"),
        pytest.param([], ["x"], b"\xff\xfe", None, id="no text: patterns cannot be applied"),
        pytest.param([], ["x"], b"", b"", id="empty"),
    ],
)  # fmt: skip
def test_a_body(paths: list[str], patterns: list[str], before: bytes, after: bytes | None) -> None:
    assert redacting.body(redaction(paths, patterns, []), before, complete=True) == after


def test_a_body_that_was_cut_is_dropped_if_there_are_rules_and_kept_if_not() -> None:
    cut = b'{"card": "1234-56'
    assert redacting.body(redaction([], [r"\d{4}-\d{4}"], []), cut, complete=False) is None
    assert redacting.body(redaction([], [], []), cut, complete=False) == cut


def test_depth_is_no_trouble() -> None:
    assert redacting.body(redaction(["/**/name"], [], []), DEEP, complete=True) == DEEP
    assert redacting.body(redaction(["/**/email"], [], []), DEEP, complete=True) is None, "too deep to be written again"


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


def test_a_pattern_that_finds_the_first_slash_leaves_a_path() -> None:
    assert redacting.target(redaction([], [r"/users/\w+"], []), "/users/ann/x") == "/[redacted]/x"


LONG = b"a" * 65_536
MAIL = r"[\w.+-]+@[\w-]+\.[\w.-]+"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b'{"a":"%b","b":"x@y.org"}' % LONG, b'{"a":"[redacted]","b":"[redacted]"}', id="a text"),
        pytest.param(b'{"%b":1}' % LONG, b'{"[redacted]":1}', id="a name"),
        pytest.param(LONG, None, id="no JSON"),
        pytest.param(b'{"a":"%b"}' % LONG[:1024], b'{"a":"%b"}' % LONG[:1024], id="as long as is searched"),
    ],
)
def test_no_text_of_a_client_makes_a_pattern_slow(before: bytes, after: bytes | None) -> None:
    """Before there was a limit, each of them but the last took half a minute, and nothing else ran meanwhile."""
    assert redacting.body(redaction([], [MAIL], []), before, complete=True) == after


def test_without_patterns_a_text_may_be_as_long_as_it_is() -> None:
    body = b'{"a":"%b"}' % LONG
    assert redacting.body(redaction(["/b"], [], []), body, complete=True) == body
