"""The README's command: every fault is rolled back, and the figures of the demo are true."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import pytest

from tests.end_to_end.real_router import children, gone, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("fault", "trigger", "detection_s", "seen_within_s"),
    [
        ("errors", ("hard_failure", "errors"), 5, 40),  # 15 s on a machine that does nothing else
        pytest.param("crash", ("hard_failure", "unreachable"), 5, 40, marks=pytest.mark.nightly),
        pytest.param("hang", ("hard_failure", "hang"), 40, 60, marks=pytest.mark.nightly),
        pytest.param("slow", ("latency", None), 30, 60, marks=pytest.mark.nightly),
    ],
)
async def test_demo(fault: str, trigger: tuple[str, str | None], detection_s: float, seen_within_s: float) -> None:
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", "demo", "--headless", "--json", "--fault", fault),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_ROUTER_")},
    )
    output, said = await process.communicate()
    took = time.monotonic() - started
    assert process.returncode == 0, (said + output).decode()
    found = json.loads(output.splitlines()[-1])
    assert found["rolled_back"] is True
    assert (found["from"], found["to"], found["fault"]) == ("demo-v2", "demo-v1", fault)
    assert (found["trigger"], found["trigger_detail"]) == trigger
    assert 0 < found["fault_to_detection_s"] < detection_s
    assert 0 < found["detection_to_confirmed_ms"] < 1000
    assert found["requests"] >= 1000
    assert found["counts_agree"] is True
    assert (found["settings"] == {}) == (fault != "slow")
    assert took < seen_within_s


@pytest.mark.nightly
async def test_a_demo_that_is_killed_leaves_no_process_behind() -> None:
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", "demo", "--headless"), stdout=asyncio.subprocess.DEVNULL
    )
    started: set[int] = set()

    async def whole() -> bool:
        """Two model servers, and a router with control and two workers."""
        started.update(children(demo.pid), *(children(pid) for pid in children(demo.pid)))
        return len(started) >= 6

    await until(whole, 40, "everything is started")
    demo.kill()
    await demo.wait()
    await gone(list(started), 20)
