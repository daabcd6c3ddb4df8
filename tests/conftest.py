"""For all tests: what runs, in which order, and for how long; hypothesis sets no deadline, because the machine decides it."""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.example_counts import ALL, QUARTER

for profile, examples in (("project", QUARTER), ("nightly", ALL)):
    settings.register_profile(
        profile, max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked `nightly` as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the nightly tests by default. Long tests come first: at the end, no process waits for the other one."""
    if not config.getoption("nightly"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("nightly")])
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = _bounded(item.obj, BOUND * _timeout_s(item))


def _timeout_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0] if marker is not None else item.config.getini("timeout"))


def _bounded(test: Callable[..., Awaitable[None]], timeout_s: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def bounded(*args: object, **kwargs: object) -> None:
        async with asyncio.timeout(timeout_s):
            await test(*args, **kwargs)

    return bounded


# pytest-timeout raises in the main thread. uvloop, and a callback of any event loop, do not pass that on. So a coroutine is
# cancelled before; and a process that is in the same test after twice the time prints where its threads are and ends. Its
# runner starts another in its place.
BOUND, HUNG = 0.75, 2.0
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("nightly" if config.getoption("nightly") else "project")
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
    faulthandler.dump_traceback_later(HUNG * _timeout_s(item), exit=True, file=item.config.stash[_STDERR])
