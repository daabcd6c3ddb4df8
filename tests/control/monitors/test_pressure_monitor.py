"""A version that throttles, in a whole control: the alarm, and on probation a question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from router.control.monitors.pressure_monitor import PressureMonitor
from router.rollout.outcome import Outcome
from router.rollout.stats.window import Window
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


def slot_of(version: Any) -> int | None:
    return version.slot if version is not None else None


def asked(per_s: float, before_per_s: float, served_s: float) -> bool:
    """Whether an operator is asked `served_s` after a promotion; v2 throttles every attempt, v1 served `before_per_s`."""

    def window(slot: int, seconds: float, now_ns: int) -> Window:
        busy = per_s * min(seconds, served_s) if slot == 1 else 0.0
        fine = before_per_s * max(0.0, seconds - served_s) if slot == 0 else 0.0
        outcomes = [0] * len(Outcome)
        outcomes[Outcome.OK], outcomes[Outcome.THROTTLED] = round(fine), round(busy)
        ended = sum(outcomes)
        return Window(0, 1, seconds, ended, ended, 0, 0, 0, tuple(outcomes))

    active, standby = SimpleNamespace(slot=1, version="v2", accepted=False), SimpleNamespace(slot=0)
    registry: Any = SimpleNamespace(active=active, standby=standby, in_drill=False, active_since_ns=10**12)
    newest = SimpleNamespace(sample=SimpleNamespace(outcomes=[1] * len(Outcome)))
    judge: Any = SimpleNamespace(window=window, newest=lambda slot: (newest, None))
    alarms: Any = SimpleNamespace(up=lambda *_: None, down=lambda *_: None)
    return bool(PressureMonitor("svc", registry, judge, alarms, slot_of).check(10**12 + int(served_s * 1e9)))


def test_a_rate_is_one_since_the_promotion() -> None:
    assert asked(per_s=20, before_per_s=20, served_s=5)
    assert not asked(per_s=200, before_per_s=20, served_s=5), "ten times the traffic explains it"
    assert not asked(per_s=200, before_per_s=20, served_s=90)


def test_no_window_is_read_while_the_version_never_throttled() -> None:
    outcomes = [9] * len(Outcome)
    outcomes[Outcome.THROTTLED] = 0
    newest = SimpleNamespace(sample=SimpleNamespace(outcomes=outcomes))
    registry: Any = SimpleNamespace(active=SimpleNamespace(slot=1), active_since_ns=0)
    judge: Any = SimpleNamespace(newest=lambda slot: (newest, None))  # it has no windows
    ended: list[tuple[str, str]] = []
    alarms: Any = SimpleNamespace(down=lambda *alarm: ended.append(alarm))
    assert PressureMonitor("svc", registry, judge, alarms, slot_of).check(10**12) == ()
    assert ended == [("version_throttles", "svc")]


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
