"""The limit of memory is compared with what workers and services need."""

from __future__ import annotations

import pytest

from router.runtime.host.memory import MIB, needed_bytes, shortage


def test_need_grows_with_workers_and_services() -> None:
    assert needed_bytes(1, 1) == 80 * MIB + 25 * MIB + 5 * MIB // 2
    assert needed_bytes(2, 64) == (80 + 50 + 160) * MIB


@pytest.mark.parametrize("limit_mib", [None, 108, 4096])
def test_a_limit_that_fits(limit_mib: int | None) -> None:
    assert shortage(1, 1, None if limit_mib is None else limit_mib * MIB) is None


def test_a_limit_that_does_not_fit_is_named() -> None:
    text = shortage(4, 3, 128 * MIB) or ""
    assert all(part in text for part in ("128 MiB", "4 workers", "3 services", "187 MiB")), text


def test_one_worker_is_not_told_to_set_fewer() -> None:
    text = shortage(1, 1, 64 * MIB) or ""
    assert "1 worker and 1 service need" in text
    assert text.endswith("raise the limit")
