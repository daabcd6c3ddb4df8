"""--nightly tries all examples, and a run without it a quarter of them."""

from __future__ import annotations

import pytest

from tests.example_counts import examples


def test_only_nightly_tries_all(request: pytest.FixtureRequest) -> None:
    assert examples(200) == (200 if request.config.getoption("nightly") else 50)
