from __future__ import annotations

from router.control.monitors.observed_day import DAY_NS, ObservedDay


def test_one_line_a_day() -> None:
    observation = ObservedDay("svc", 5)
    observation.note({"error_rate": "5 % failed"})
    observation.note({"error_rate": "6 % failed", "latency": "slow"})
    observation.note({})
    observation.note({"error_rate": "7 % failed"})
    assert observation.line(DAY_NS) is None
    line = observation.line(DAY_NS + 5)
    assert line is not None
    assert "2 × error_rate, the last because 7 % failed; 1 × latency, the last because slow" in line
    assert observation.line(DAY_NS + 6) is None


def test_a_trigger_that_goes_on_counts_for_the_next_day_and_a_quiet_day_is_said() -> None:
    observation = ObservedDay("svc", 0)
    observation.note({"hang": "3 wait"})
    observation.line(DAY_NS)
    observation.note({"hang": "4 wait"})
    line = observation.line(2 * DAY_NS)
    assert line is not None
    assert "1 × hang" in line
    observation.note({})
    observation.line(3 * DAY_NS)
    line = observation.line(9 * DAY_NS)
    assert line is not None
    assert "nothing would have been" in line
    assert observation.line(9 * DAY_NS + 1) is None
