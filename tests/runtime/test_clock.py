from __future__ import annotations

import time

import pytest

from router.runtime import clock


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_763_848_800.1239, "2025-11-22T22:00:00.123Z"),
        (1_709_164_800.0, "2024-02-29T00:00:00.000Z"),
    ],
)
def test_iso(at_s: float, text: str) -> None:
    assert clock.iso(at_s) == text


def test_decisions_use_the_monotonic_clock_that_all_processes_share() -> None:
    assert clock.now_ns is time.monotonic_ns
    assert clock.now_s is time.monotonic
    assert time.get_clock_info("monotonic").implementation == "clock_gettime(CLOCK_MONOTONIC)"


def test_wall_time_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 12.5)
    assert clock.wall_s() == 12.5


def test_the_cpu_time_of_other_threads_is_not_that_of_the_caller() -> None:
    before = clock.cpu_of_other_threads_s()
    sum(range(300_000))
    assert clock.cpu_of_other_threads_s() - before < 0.003
