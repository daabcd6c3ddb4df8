"""The data plane runs on uvloop, so its tests do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run each test of this folder on the loop that a worker runs on."""
    return {"uvloop": uvloop.new_event_loop}
