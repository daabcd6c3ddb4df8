from __future__ import annotations

import pytest

from router.errors.reason_phrases import REASON_PHRASES


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (200, "OK"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (503, "Service Unavailable"),
    ],
)
def test_phrases_are_those_of_rfc_9110(status: int, phrase: str) -> None:
    """Python before 3.13 has older phrases of four of them."""
    assert REASON_PHRASES[status] == phrase
