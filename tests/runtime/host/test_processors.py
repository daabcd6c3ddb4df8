"""Usable cores: the lesser of affinity and quota, rounded up, at least one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.runtime.host import processors
from router.runtime.host.processors import Processors
from tests.runtime.host.test_cgroups import V2, Tree


@pytest.mark.parametrize(
    ("affinity", "quota", "usable"),
    [
        (64, None, 64),
        (64, (100_000, 100_000), 1),
        (64, (150_000, 100_000), 2),
        (64, (100_001, 100_000), 2),
        (64, (10_000, 100_000), 1),
        (64, (25_000, 10_000), 3),
        (2, (400_000, 100_000), 2),
        (1, (50_000, 100_000), 1),
        (64, (6_400_000, 100_000), 64),
    ],
)
def test_usable(affinity: int, quota: tuple[int, int] | None, usable: int) -> None:
    found = Processors(affinity, quota)
    assert found.usable == usable
    assert found.excess(usable) is None
    assert f"workers = {usable}" in (found.excess(usable + 1) or "")


def test_it_says_what_it_found() -> None:
    assert Processors(64, (150_000, 100_000)).described == "2 of 64 cores (CPU quota 1.5)"
    assert Processors(1).described == "1 of 1 core"


def test_of_this_process(tmp_path: Path) -> None:
    tree = Tree(tmp_path).process("0::/\n", V2.format(root="/")).limit("cpu.max", "50000 100000")
    assert processors.of(tree.root) == Processors(len(os.sched_getaffinity(0)), (50_000, 100_000))
