from __future__ import annotations

import pytest

from router.rollout.drills.comparison import Performance, late_after_ms, performance_of, regressions
from router.rollout.outcome import OUTCOMES, Outcome
from router.rollout.stats.histogram import BUCKETS, index
from router.rollout.stats.window import Window
from tests.texts import golden


def served(requests: int, faults: int = 0, late: int = 0, timed: int | None = None) -> Performance:
    return Performance(requests, faults, requests if timed is None else timed, late, 100.0)


def window(times_ms: dict[float, int], faults: int = 0) -> Window:
    times = [0] * BUCKETS
    for ms, count in times_ms.items():
        times[index(int(ms * 1000))] += count
    outcomes = [0] * len(OUTCOMES)
    begun = sum(times)
    outcomes[Outcome.OK], outcomes[Outcome.SERVER_ERROR] = begun, faults
    nothing = (0,) * BUCKETS
    return Window(0, 10**10, 10.0, begun, begun, faults, 0, 0, tuple(outcomes), tuple(times), tuple(times), nothing)


@pytest.mark.parametrize(
    ("before", "now", "ways"),
    [
        pytest.param(served(600), served(100), 0, id="nothing failed"),
        pytest.param(served(600), served(100, 1), 0, id="a single error says nothing"),
        pytest.param(served(600), served(1, 1), 0, id="the first one fails"),
        pytest.param(served(600), served(100, 4), 1, id="four of a hundred where none of 600 failed"),
        pytest.param(served(600, 5), served(1000, 9), 0, id="as many as before"),
        pytest.param(served(3), served(2, 2), 1, id="both requests, whatever was not seen before"),
        pytest.param(served(0), served(3, 2), 0, id="two of three, and nothing is known"),
        pytest.param(served(0), served(0), 0, id="no traffic"),
        pytest.param(served(600), served(100, 0, 3), 0, id="three late ones are within the objective's share"),
        pytest.param(served(600), served(100, 0, 12), 1, id="twelve late ones are not"),
        pytest.param(served(600, 0, 90), served(100, 0, 18), 0, id="late as before"),
        pytest.param(served(600), served(100, 50, 50), 2, id="both ways"),
    ],
)
def test_worse(before: Performance, now: Performance, ways: int) -> None:
    assert len(regressions(before, now, 0.01, 0.05)) == ways


def test_a_regression_has_its_numbers() -> None:
    assert regressions(served(600), served(20, 10, 18), 0.01, 0.05) == [
        golden("drill.more_faults"),
        golden("drill.slower"),
    ]


@pytest.mark.parametrize(
    ("times_ms", "slo_ms", "limit_ms"),
    [
        pytest.param({1.0: 100}, 250.0, 250.0, id="the objective, if there is one"),
        pytest.param({1.0: 100}, None, 51.0, id="a p99 of 1 ms makes 3 ms no harm"),
        pytest.param({200.0: 100}, None, 600.0, id="three times the p99"),
        pytest.param({1.0: 99}, None, None, id="99 answers have no p99"),
    ],
)
def test_what_is_late(times_ms: dict[float, int], slo_ms: float | None, limit_ms: float | None) -> None:
    found = late_after_ms(window(times_ms), slo_ms)
    assert found == (None if limit_ms is None else pytest.approx(limit_ms, rel=0.1))
    assert late_after_ms(None, slo_ms) == slo_ms


def test_waits_that_go_on_are_late_answers() -> None:
    """A standby that hangs answers nothing, so a hold of ten seconds would see no late answer at all."""
    found = performance_of(window({5.0: 3}), 100.0, waiting_late=5)
    assert (found.late, found.timed, found.requests) == (5.0, 8.0, 3)
    assert regressions(served(600), found, 0.01, 0.05) != []
    hung = performance_of(None, 100.0, waiting_late=3)
    assert len(regressions(served(600), hung, 0.01, 0.05)) == 1


def test_the_figures_of_a_report() -> None:
    assert performance_of(window({5.0: 9}, faults=1), 100.0).as_dict() == {
        "seconds": 10.0,
        "requests": 10,
        "faults": 1,
        "fault_share": 0.1,
        "late": 0.0,
        "timed": 9,
        "late_after_ms": 100.0,
        "p50_ms": pytest.approx(5.0, rel=0.1),
        "p99_ms": pytest.approx(5.0, rel=0.1),
    }
    assert performance_of(None, None).as_dict()["fault_share"] is None
