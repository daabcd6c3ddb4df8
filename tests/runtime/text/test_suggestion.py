from __future__ import annotations

import pytest

from router.runtime.text.suggestion import known_names


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("fruad", ["fraud", "spam"], "did you mean fraud? there are: fraud, spam"),
        ("FRAUD", ["fraud", "spam"], "did you mean fraud? there are: fraud, spam"),
        ("zzz", ["fraud", "spam"], "there are: fraud, spam"),
        ("zzz", [], "there are: none"),
    ],
)
def test_the_known_names_with_the_nearest_first(name: str, known: list[str], text: str) -> None:
    assert known_names(name, known) == text
