"""A version that throttles, in a whole control: the alarm, and on probation a question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.rollout.outcome import Outcome
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlHarness]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    control = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    yield control
    await control.end()
    workers.close()
    segment.close()


def codes(control: ControlHarness) -> set[str]:
    return {str(alarm["code"]) for alarm in control.alarms.listing()}


async def test_a_spike_of_throttling_is_an_alarm_and_nothing_else(control: ControlHarness) -> None:
    control.tick(5)
    control.tick(100, lambda: control.workers.serve(0, Outcome.THROTTLED, 1))
    assert "version_throttles" in codes(control)
    assert control.states() == {"v1": "active", "v2": "standby"}
    assert "proposal_waiting" not in codes(control)
    control.tick(700, lambda: control.workers.serve(0, Outcome.OK, 1))
    assert "version_throttles" not in codes(control)
