"""The targets on what is known; tests/end_to_end/test_fuzzing.py searches."""

from __future__ import annotations

import pytest

from tests.fuzz.corpus import TARGETS, seeds
from tests.fuzz.found import FOUND


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
