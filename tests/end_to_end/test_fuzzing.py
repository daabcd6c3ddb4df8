"""A short search by all fuzz targets (longer: `python -m tests.fuzz --seconds 600`)."""

from __future__ import annotations

import platform
import sys

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz.corpus import TARGETS

pytestmark = [pytest.mark.end_to_end, pytest.mark.alone, pytest.mark.timeout(120)]

SEARCH_S = 8


@pytest.mark.skipif(
    sys.version_info >= (3, 14) or platform.machine() != "x86_64",
    reason="atheris has no wheel for this Python or machine (pyproject.toml names the same two)",
)
def test_a_search_guided_by_coverage_finds_nothing() -> None:
    """All targets at the same time. What it finds is to be added to tests/fuzz/found.py."""
    for result in command.fuzz(list(TARGETS), SEARCH_S):
        assert result.code == 0, f"{result.target}: {result.broken!r}\n{result.log[-3000:]}"
        assert result.runs > 1000, result.log[-3000:]
