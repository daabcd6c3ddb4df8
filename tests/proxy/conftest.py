"""The data plane runs on uvloop, so its tests do. Each must close what it opened, and log nothing that went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest
import uvloop

from tests.proxy.leak_check import open_sockets


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test of this folder on the loop that a worker runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No socket more than before, no error in the log: a traceback there is a crash that a task or the loop caught."""
    before = open_sockets()
    yield
    more = open_sockets() - before
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors, errors
    assert more <= 0, f"{more} sockets were left open"
