from __future__ import annotations

from typing import Any

import pytest

from router.rollout.drills.log import DRILLS_MAX, DrillLog
from router.rollout.facts.entry import Entry
from tests import entry_types

PLAN: dict[str, Any] = {"mode": "real", "by": "operator", "reason": "", "from": "v1", "to": "v2", "hold_s": 5.0}


def fact(kind: str, at: float, service: str = "svc", **data: Any) -> Entry:
    return Entry.of(kind, service, "ann", data, at, 0, 1)


def begun(number: int, at: float, mode: str = "real") -> Entry:
    return fact(entry_types.DRILL_STARTED, at, drill=f"svc-drill-{number}", **PLAN | {"mode": mode})


def over(number: int, at: float, result: str, mode: str = "real") -> Entry:
    reasons = [] if result == "passed" else ["because"]
    return fact(
        entry_types.DRILL_ENDED,
        at,
        drill=f"svc-drill-{number}",
        result=result,
        reasons=reasons,
        **PLAN | {"mode": mode},
    )


def test_a_drill_is_described_by_its_entries() -> None:
    log = DrillLog.of([begun(1, 10.0), over(1, 20.0, "passed"), fact("frozen", 21.0, reason=""), begun(2, 30.0)], "svc")
    assert log.drills == [
        {
            "drill": "svc-drill-1",
            **PLAN,
            "actor": "ann",
            "started_at": 10.0,
            "ended_at": 20.0,
            "result": "passed",
            "reasons": [],
        },
        {
            "drill": "svc-drill-2",
            **PLAN,
            "actor": "ann",
            "started_at": 30.0,
            "ended_at": None,
            "result": None,
        },
    ]
    assert (log.number, log.proven_at("real"), log.last_result) == (2, 20.0, "passed")
    assert DrillLog.of([begun(1, 10.0)], "other").drills == []


def test_a_refused_one_has_no_beginning() -> None:
    log = DrillLog()
    log.apply(
        fact(entry_types.DRILL_REFUSED, 5.0, drill="svc-drill-1", mode="real", result="refused", reasons=["frozen"])
    )
    assert [(drill["result"], drill["ended_at"]) for drill in log.drills] == [("refused", 5.0)]
    assert (log.number, log.proven_at("real"), log.last_result) == (1, None, None)


@pytest.mark.parametrize(
    ("result", "last"),
    [
        pytest.param("passed", "passed"),
        pytest.param("aborted", "aborted"),
        pytest.param("stayed", "stayed"),
        pytest.param("failed", "failed"),
        pytest.param("refused", "aborted", id="refused proves nothing"),
        pytest.param("overtaken", "aborted", id="overtaken proves nothing"),
        pytest.param("stopped", "aborted", id="stopped proves nothing"),
    ],
)
def test_the_last_result_that_proves_something(result: str, last: str) -> None:
    log = DrillLog.of([begun(1, 1.0), over(1, 2.0, "aborted"), begun(2, 3.0), over(2, 4.0, result)], "svc")
    assert log.last_result == last


@pytest.mark.parametrize(
    "kind", [entry_types.PROMOTED, entry_types.SWITCHED, entry_types.ROLLED_BACK, entry_types.RETIRED]
)
def test_other_versions_have_other_results(kind: str) -> None:
    log = DrillLog.of([begun(1, 1.0), over(1, 2.0, "aborted"), fact(kind, 3.0)], "svc")
    assert log.last_result is None


def test_a_shadow_counts_where_shadows_are_what_is_wanted() -> None:
    log = DrillLog.of(
        [begun(1, 1.0), over(1, 2.0, "passed"), begun(2, 3.0, "shadow"), over(2, 4.0, "passed", "shadow")], "svc"
    )
    assert (log.proven_at("real"), log.proven_at("shadow")) == (2.0, 4.0)
    log.apply(over(3, 9.0, "passed"))
    assert log.proven_at("shadow") == 9.0, "a real one proves more"


def test_the_first_acceptance_begins_the_time_without_a_drill() -> None:
    log = DrillLog.of([fact(entry_types.ACCEPTED, at, version="v1") for at in (7.0, 9.0)], "svc")
    assert log.first_accepted_at == 7.0


def test_it_is_bounded() -> None:
    log = DrillLog()
    for number in range(DRILLS_MAX + 5):
        log.apply(begun(number, float(number)))
    assert (len(log.drills), log.number) == (DRILLS_MAX, DRILLS_MAX + 5)
    assert log.find("svc-drill-4") is None
    assert log.find("svc-drill-5") is not None
