from __future__ import annotations

import pytest
from pydantic import ValidationError

from router.settings.sections.inference import InferenceSettings


def test_rules() -> None:
    rules = InferenceSettings(paths=["/score", "custom/*"], not_paths=["/internal/**"]).rules
    assert rules.is_inference("GET /score")
    assert rules.is_inference("POST /anything")
    assert not rules.is_inference("POST /internal/a/b")
    assert not rules.is_inference("POST /tokenize")


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"paths": ["/a b"]}, "is no path pattern"),
        ({"paths": ["/a?b"]}, "is no path pattern"),
        ({"not_paths": [""]}, "at least 1 character"),
        ({"paths": ["/a"], "not_paths": ["/a"]}, "which win"),
        ({"stream_preamble": [""]}, "at least 1 character"),
    ],
)
def test_what_is_refused(members: dict[str, list[str]], error: str) -> None:
    with pytest.raises(ValidationError, match=error):
        InferenceSettings(**members)


@pytest.mark.parametrize(
    ("pattern", "prefix", "useless"),
    [
        ("/v1/score", "/", False),
        ("/v1/score", "/v1", False),
        ("/v1/score", "/v2", True),
        ("/v1", "/v1/score", True),
        ("/v1/**", "/v1/score", False),
        ("score", "/v2", False),
        ("/v1/models/7/infer", "/v1/models/8", False),
    ],
)
def test_a_pattern_that_matches_nothing_is_named(pattern: str, prefix: str, useless: bool) -> None:
    found = InferenceSettings(paths=[pattern]).useless(prefix)
    assert bool(found) is useless
    assert all(pattern in line for line in found)
