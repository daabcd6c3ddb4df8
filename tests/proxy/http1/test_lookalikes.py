"""Names that a backend may read as other ones."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.proxy.http1.lookalikes import FOLDED, PROTECTED, is_lookalike, pattern_of

OTHERS = [bytes((byte,)) for byte in b"!#$%&'*+.^`|~"]
"""The characters of names (RFC 9110 §5.6.2) that are no letter, no digit, no hyphen and no underscore."""


def test_names_with_underscores() -> None:
    for name in PROTECTED:
        assert is_lookalike(name.replace(b"-", b"_"), set()) is (b"-" in name)
        assert is_lookalike(name.replace(b"-", b"_", 1), set()) is (b"-" in name)
    assert is_lookalike(b"x_named", {b"x-named"})
    assert not is_lookalike(b"x_other", {b"x-named"})


@pytest.mark.parametrize("other", OTHERS)
def test_no_other_sign_is_folded(other: bytes) -> None:
    assert not any(is_lookalike(name.replace(b"-", other), set()) for name in PROTECTED)


@pytest.mark.parametrize("name", sorted(PROTECTED))
def test_a_protected_field_is_no_lookalike_of_itself(name: bytes) -> None:
    assert not is_lookalike(name, set())


@given(st.binary(max_size=20))
def test_folding_keeps_the_length_and_is_done_once(name: bytes) -> None:
    assert name.translate(FOLDED).translate(FOLDED) == name.translate(FOLDED)
    assert len(name.translate(FOLDED)) == len(name)


@pytest.mark.parametrize("name", ["X-Api-Key", "x_api_key", "X-API_KEY"])
def test_the_pattern_of_a_name(name: str) -> None:
    pattern = re.compile(pattern_of(name) + rb":", re.IGNORECASE)
    assert all(pattern.fullmatch(b"X" + other + b"Api" + other + b"Key:") for other in (b"_", b"-"))
    assert not any(pattern.fullmatch(b"X" + other + b"Api" + other + b"Key:") for other in OTHERS)
    assert not any(
        map(pattern.fullmatch, (b"XApiKey:", b"X-Api:Key:", b"X-Api\r\nKey:", b"X-Api-Keys:", b"X1Api-Key:"))
    )
