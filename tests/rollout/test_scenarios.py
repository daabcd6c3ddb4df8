"""The table of scenarios and healthy twins, judged by the project's judge; `python -m benchmarks judge` prints the same table.

The rows of AT_ONCE take about a minute of CPU. All others, ten simulated minutes at four rates, run in the nightly run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.judge.run import ALL
from benchmarks.judge.scenarios import SCENARIOS, Scenario
from benchmarks.judge.twins import FAULT_SHARES, TWINS, with_faults

FAST = 200.0
AT_ONCE = {
    ("hang", 20.0), ("hang", 0.2), ("hang, one client", 2.0),
    ("E1 dead engine, live GET", 20.0), ("E1 impatient clients", 2.0), ("E1 GET gets 404", 20.0),
    ("E2 probe fails, no traffic", 0.2), ("E2 probe hangs, no traffic", 0.2),
    ("E3 keep-alive comments", 20.0), ("E3 one client", 0.2), ("E4 head, then silence", 20.0),
    ("E5 baseline and probe", 20.0), ("E5 baseline", 20.0), ("E5 neither", 20.0),
    ("E6 404 to everything", 20.0), ("E6 404 from the first request", 20.0), ("E6 behind one gateway", 20.0),
    ("empty answers", 20.0), ("1 of 100 useful", 20.0), ("1 of 100 useful, others 404", 20.0),
    ("errors 100 %", 20.0), ("errors 100 % behind one gateway", 0.2), ("E7 error as first event", 20.0),
    ("E7 dies after its first token", 2.0), ("errors 30 % from the first request", 20.0),
    ("two replicas bad of three", 20.0),
    ("twin: steady", 2.0), ("twin: streams", 2.0), ("twin: WAV of 5 min", 2.0),
    ("twin: clients leave at half the median", 2.0), ("twin: reasoning for 90 s", 2.0),
    ("E8 one replica of four fails", 2.0), ("E10 a burst of one client", 2.0),
}  # fmt: skip
PENDING: dict[tuple[str, float], str] = {
    ("E7 dies after its first token", 0.2): "rolled back after 70 s instead of 60: each stream begins well",
}
"""Rows that are judged wrongly so far."""


def rows() -> list[Any]:
    found = []
    for one in ALL:
        for rate in one.rates:
            marks = [] if (one.name, rate) in AT_ONCE else [pytest.mark.nightly, pytest.mark.timeout(600)]
            if (one.name, rate) in PENDING:
                marks.append(pytest.mark.xfail(reason=PENDING[one.name, rate], strict=False))
            found.append(pytest.param(one, rate, id=f"{one.name} at {rate:g}", marks=marks))
    return found


@pytest.mark.parametrize(("scenario", "rate"), rows())
def test_the_verdict_is_right(scenario: Scenario, rate: float) -> None:
    run = scenario.drive(rate)
    assert scenario.complaint(rate, run) is None, run.verdict


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", FAULT_SHARES[1:3])
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: twin.name)
def test_twins_with_independent_faults_stay(twin: Scenario, part: float) -> None:
    for rate in twin.rates:
        if rate < FAST:
            one = replace(twin, service=with_faults(twin.service, part))
            assert one.complaint(rate, one.drive(rate)) is None, rate


def test_each_row_has_a_name_and_a_limit() -> None:
    assert len({one.name for one in ALL}) == len(ALL)
    known = {(one.name, rate) for one in ALL for rate in one.rates}
    assert known >= AT_ONCE
    assert known >= set(PENDING)
    assert all(min(one.within_s.values()) > 0 for one in SCENARIOS if one.within_s)
