"""The targets on what is known; then a short search of their own (longer: `python -m tests.fuzz --seconds 600`)."""

from __future__ import annotations

import platform
import sys

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz.corpus import TARGETS, seeds
from tests.fuzz.found import FOUND

SEARCH_S = 8


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_keeps_the_promises_whole_and_cut(target: str) -> None:
    check = TARGETS[target][0]
    assert len(seeds(target)) >= 10
    for seed in seeds(target):
        for end in (len(seed), len(seed) // 2, len(seed) - 1):
            check(seed[:end])


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_once_keeps_the_promises(target: str) -> None:
    for raw in FOUND.get(target, ()):
        TARGETS[target][0](raw)


@pytest.mark.end_to_end
@pytest.mark.alone
@pytest.mark.timeout(120)
@pytest.mark.skipif(
    sys.version_info >= (3, 14) or platform.machine() != "x86_64",
    reason="atheris has no wheel for this Python or machine (pyproject.toml names the same two)",
)
def test_a_search_guided_by_coverage_finds_nothing() -> None:
    """All targets at the same time. What it finds is to be added to tests/fuzz/found.py."""
    for result in command.fuzz(list(TARGETS), SEARCH_S):
        assert result.code == 0, f"{result.target}: {result.broken!r}\n{result.log[-3000:]}"
        assert result.runs > 1000, result.log[-3000:]
