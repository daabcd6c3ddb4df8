"""For all tests: what runs, in which order, and for how long; hypothesis sets no deadline, because the machine decides it."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked `nightly` as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the nightly tests by default. Long tests come first: at the end, no process waits for the other one."""
    if not config.getoption("nightly"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("nightly")])
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


# pytest-timeout raises in the main thread, and an event loop that is busy catches what is raised in a callback. A process that
# is still in the same test after twice the time prints where its threads are and ends; its runner starts another in its place.
HUNG = 2.0
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STDERR] = os.dup(2)  # while a test runs, 2 is a file of pytest's


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End this process if a test outlives its timeout."""
    _end_if_hung(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """pytest's own plugin cancels the dump here; a test that has failed may still hang in its teardown."""
    if isinstance(node, pytest.Item):
        _end_if_hung(node)


def _end_if_hung(item: pytest.Item) -> None:
    marker = item.get_closest_marker("timeout")
    timeout_s = float(marker.args[0] if marker is not None else item.config.getini("timeout"))
    faulthandler.dump_traceback_later(HUNG * timeout_s, exit=True, file=item.config.stash[_STDERR])
