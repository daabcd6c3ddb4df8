"""The limit of memory is compared with what workers and services need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from router.runtime.host.memory import MIB, needed_bytes, shortage

MEASURED: Final = Path(__file__).parents[3] / "benchmarks" / "results" / "memory.json"


def test_need_grows_with_workers_and_services() -> None:
    assert needed_bytes(1, 1) == 85 * MIB + 25 * MIB + 7 * MIB // 2
    assert needed_bytes(2, 64) == (85 + 50 + 224) * MIB


def test_need_is_what_was_measured_rounded_up() -> None:
    figures = json.loads(MEASURED.read_text())["figures"]
    measured = {(2, row["services"]): row["pss_mib"] for row in figures["services"]}
    measured[1, 1] = figures["at_rest"]["all processes"]["pss_mib"]
    assert len(measured) == 4
    for (workers, services), mib in measured.items():
        assert mib <= needed_bytes(workers, services) / MIB <= 1.15 * mib, (workers, services)


@pytest.mark.parametrize("limit_mib", [None, 114, 4096])
def test_a_limit_that_fits(limit_mib: int | None) -> None:
    assert shortage(1, 1, None if limit_mib is None else limit_mib * MIB) is None


def test_a_limit_that_does_not_fit_is_named() -> None:
    text = shortage(4, 3, 128 * MIB) or ""
    assert all(part in text for part in ("128 MiB", "4 workers", "3 services", "195 MiB")), text


def test_one_worker_is_not_told_to_set_fewer() -> None:
    text = shortage(1, 1, 64 * MIB) or ""
    assert "1 worker and 1 service need" in text
    assert text.endswith("raise the limit")
