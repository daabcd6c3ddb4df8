from __future__ import annotations

import pytest

from router.rollout.judge.throttling import Pressure, pressure, proposal, since
from router.rollout.outcome import OUTCOMES, Outcome
from router.rollout.stats.window import Window

BEFORE = Pressure(0, 3000, 10.0)


def window(ok: int, throttled: int, seconds: float = 60.0) -> Window:
    outcomes = [0] * len(OUTCOMES)
    outcomes[Outcome.OK], outcomes[Outcome.THROTTLED] = ok, throttled
    return Window(0, 1, seconds, ok + throttled, ok + throttled, 0, 0, 0, tuple(outcomes))


@pytest.mark.parametrize(
    ("ok", "throttled", "high"), [(10, 10, True), (11, 9, False), (0, 19, False), (0, 20, True), (500, 400, False)]
)
def test_most_answers_say_that_it_is_busy(ok: int, throttled: int, high: bool) -> None:
    found = pressure(window(ok, throttled))
    assert found is not None
    assert found.is_high is high


def test_no_data_is_no_pressure() -> None:
    assert pressure(None) is None
    assert since(None, None, 360, 60) is None


def test_the_time_before_the_promotion() -> None:
    longer, shorter = pressure(window(3000, 30, 360)), pressure(window(0, 30, 60))
    before = since(longer, shorter, 360, 60)
    assert before == Pressure(0, 3000, pytest.approx(10.0))


@pytest.mark.parametrize(
    ("now", "before", "asks"),
    [
        (Pressure(500, 600, 10.0), BEFORE, True),
        (Pressure(500, 600, 15.0), BEFORE, True),
        (Pressure(500, 600, 16.0), BEFORE, False),  # more traffic explains it
        (Pressure(500, 600, 10.0), Pressure(600, 3000, 10.0), False),  # the version before was throttled, too
        (Pressure(500, 600, 10.0), Pressure(0, 19, 10.0), False),
        (Pressure(500, 600, 10.0), None, False),
    ],
)
def test_an_operator_is_asked_only_where_the_version_before_took_the_rate(
    now: Pressure, before: Pressure | None, asks: bool
) -> None:
    found = proposal(now, before)
    assert (found is not None) is asks
    assert found is None or (found.action, found.failing, found.samples) == ("ask", True, 600)
