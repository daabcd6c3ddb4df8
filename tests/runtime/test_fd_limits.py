"""What fits into the descriptors of a process."""

from __future__ import annotations

import pytest

from router.runtime import fd_limits
from router.runtime.fd_limits import divide
from router.runtime.text.plurals import counted
from tests.texts import golden

SHARES = {
    "all of it": ((10_000, 4096, 1024, 20_000), (10_000, 1024)),
    "exactly": ((1000, 500, 100, 1564), (1000, 100)),
    "one too few": ((1000, 500, 100, 1563), (999, 100)),
    "requests never outnumber connections": ((100, 4096, 1024, 264), (100, 100)),
    "clients and backends get half each": ((10_000, 4096, 1024, 1024), (480, 480)),
    "hardly any": ((10_000, 4096, 1024, 64), (16, 16)),
    "next to none": ((10_000, 4096, 1024, 2), (1, 1)),
}


@pytest.mark.parametrize(("limits", "fitting"), SHARES.values(), ids=SHARES)
def test_what_is_given(limits: tuple[int, int, int, int], fitting: tuple[int, int]) -> None:
    shares = divide(*limits)
    assert (shares.connections_max, shares.in_flight_max) == fitting


def test_limits_that_do_not_fit_are_told_with_the_remedy() -> None:
    assert divide(1000, 500, 100, 1564).warning is None
    assert divide(1000, 500, 100, 1563).warning == (golden("limits.connections_lowered"))


def test_the_process_says_how_many_it_has() -> None:
    assert fd_limits.available() > 0


@pytest.mark.parametrize(
    ("workers", "least"), [(1, 51), (2, 52), (14, 64), (50, 124), (1000, 2024)], ids=lambda number: str(number)
)
def test_a_router_needs_so_many_and_says_so(workers: int, least: int) -> None:
    assert fd_limits.shortage(workers, least) is None
    assert fd_limits.shortage(workers, least - 1) == (
        golden("limits.too_few_for_workers", files=least - 1, workers=counted(workers, "worker"), least=least)
    )


@pytest.mark.parametrize(("configured", "left", "effective"), [(256, 1000, 256), (256, 272, 256), (256, 271, 255), (256, 36, 20),
                                                      (256, 3, 4), (2, 3, 2)])  # fmt: skip
def test_the_admin_port_takes_what_is_left(configured: int, left: int, effective: int) -> None:
    assert fd_limits.admin_connections(configured, left) == effective


def test_what_is_left_is_what_may_be_opened_less_what_is_open() -> None:
    before = fd_limits.left()
    with open("/dev/null", "rb"):
        assert fd_limits.left() == before - 1
    warning = fd_limits.admin_warning(256, 20)
    assert golden("limits.admin_does_not_fit") in warning
    assert golden("limits.admin_takes") in warning
