from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from router.control.core.probe import ProbeResult
from router.errors import Refusal
from router.rollout.outcome import Outcome
from router.shm import layout as at
from tests.control.control_harness import FakeWorkers, new_segment
from tests.control.drill_harness import HOLD_S, DrillHarness
from tests.texts import golden

Begin = Callable[..., Awaitable[DrillHarness]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    """Start control, or the next control on the same segment."""
    segment = new_segment()
    workers = FakeWorkers(segment)
    stages: list[DrillHarness] = []

    async def start(**service: Any) -> DrillHarness:
        stages.append(await DrillHarness(segment, workers, tmp_path, **service).begin())
        return stages[-1]

    yield start
    for harness in stages:
        await harness.control.end()
    workers.close()
    segment.close()


async def test_there_and_back_with_its_report(begin: Begin) -> None:
    harness = await (await begin()).accept()
    harness.load = harness.serve()
    await harness.play(5)
    before = harness.registry.as_dict()
    begun = await harness.ask(reason="Tuesday")
    assert (begun["phase"], begun["drill"], begun["from"], begun["to"]) == ("away", "svc-drill-1", "v1", "v2")
    assert (harness.active, harness.drills.under_way()) == ("v2", "svc-drill-1")
    assert harness.control.queries.service_status("svc")["state"] == "drill"
    assert begun["swaps"][0]["workers_unconfirmed"] == []
    await harness.play(HOLD_S + 2)
    assert (harness.active, harness.drills.under_way()) == ("v1", None)
    report = harness.drills.show("svc-drill-1")
    assert (report["result"], report["reasons"], report["actor"], report["reason"]) == ("passed", [], "ann", "Tuesday")
    assert [swap["home"] for swap in report["swaps"]] == [False, True]
    assert all(swap["swap_us"] >= 0 and swap["confirmed_ms"] is not None for swap in report["swaps"])
    assert HOLD_S <= report["away_s"] <= HOLD_S + 1.2
    assert (report["before"]["requests"] >= 50, report["before"]["faults"]) == (True, 0)
    assert report["during"]["requests"] >= 10 * HOLD_S - 2
    after = harness.registry.as_dict()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"generation", "targets", "history", "active_periods", "active_since_ns"}
    assert harness.control.states() == {"v1": "active", "v2": "standby"}
    assert harness.registry.active.accepted


@pytest.mark.parametrize(
    "outcome",
    [Outcome.SERVER_ERROR, pytest.param(Outcome.CONNECT_FAILED, id="connect_failed, which is no quarantine either")],
)
async def test_it_goes_home_when_the_standby_fails(begin: Begin, outcome: Outcome) -> None:
    harness = await (await begin()).accept()
    await harness.play(5, harness.serve(count=3))
    await harness.ask(hold_s=60.0)
    await harness.play(3, lambda: harness.serve(outcome if harness.active == "v2" else Outcome.OK, 3)())
    assert harness.active == "v1"
    report = harness.drills.show("svc-drill-1")
    assert report["result"] == "aborted"
    assert (harness.registry.quarantines, harness.registry.incidents, harness.registry.automatic_left) == ({}, [], True)
    codes = [alarm["code"] for alarm in harness.control.control_loop.alarms.listing()]
    assert codes == ["drill_failed"]


async def test_a_rule_that_asks_asks_nobody_during_a_drill(begin: Begin) -> None:
    harness = await (await begin(rules={"hard_failure": {"action": "ask"}})).accept()
    await harness.play(2, harness.serve(count=3))
    await harness.ask(hold_s=60.0)
    await harness.play(3, lambda: harness.serve(Outcome.SERVER_ERROR if harness.active == "v2" else Outcome.OK, 12)())
    assert (harness.active, harness.registry.proposals.known) == ("v1", {})


async def test_it_goes_home_when_some_requests_fail(begin: Begin) -> None:
    """Too few for a verdict, enough to end an exercise."""
    harness = await (await begin()).accept()
    await harness.play(30, harness.serve())
    await harness.ask(hold_s=60.0)
    ticks = iter(range(10_000))
    await harness.play(4, lambda: harness.serve(Outcome.SERVER_ERROR if next(ticks) % 5 == 0 else Outcome.OK)())
    report = harness.drills.show("svc-drill-1")
    assert (harness.active, report["result"]) == ("v1", "aborted")
    assert "requests failed (before: 0 of 300" in report["reasons"][0]


async def test_it_goes_home_when_the_standby_hangs(begin: Begin) -> None:
    harness = await (await begin(rules={"latency": {"slo_ms": 500}})).accept()
    await harness.play(5, harness.serve())
    await harness.ask(hold_s=60.0)
    row = harness.control.segment.layout.worker_slot(0, 0, 1)
    harness.control.segment.words[row + at.L_WAITING] = 4
    harness.control.segment.words[row + at.L_WAITING_LONG] = 4
    await harness.play(4)
    assert harness.active == "v1"
    assert harness.drills.show("svc-drill-1")["reasons"] == [golden("drill.slower_500_ms")]


async def test_it_stays_when_the_version_from_before_has_died(begin: Begin) -> None:
    harness = await (await begin()).accept()
    await harness.ask()
    harness.control.probe("v1", ok=False)
    await harness.play(HOLD_S + 32)
    assert (harness.active, harness.registry.drill) == ("v2", None)
    report = harness.drills.show("svc-drill-1")
    assert report["result"] == "stayed"
    assert report["reasons"][0].startswith("no swap back within 30 s: the last 3 probes of v1 were not all good")
    alarms = {alarm["code"]: alarm["detail"] for alarm in harness.control.control_loop.alarms.listing()}
    assert set(alarms) == {"standby_failing", "drill_failed"}
    assert alarms["drill_failed"].startswith("drill svc-drill-1 to v2 stayed: no swap back within")


async def test_a_worker_that_does_not_follow_ends_it(begin: Begin) -> None:
    harness = await (await begin()).accept()
    soon = harness.told.timeouts.model_copy(update={"confirm_timeout_s": 0.02})
    harness.control.control_loop.settings = harness.told.model_copy(update={"timeouts": soon})
    harness.workers.deaf.add(1)

    def answer_again_after_the_report() -> None:
        drill = harness.drills.runners["svc"].drill
        if drill is not None and drill.is_confirmed:
            harness.workers.deaf.clear()
            harness.control.control_loop.settings = harness.told

    harness.load = answer_again_after_the_report
    begun = await harness.ask(hold_s=60.0)
    assert begun["swaps"][0]["workers_unconfirmed"] == [1]
    await harness.play(3)
    report = harness.drills.show("svc-drill-1")
    assert (harness.active, report["result"]) == ("v1", "aborted")


@pytest.mark.parametrize("how", ["stop", "freeze"])
async def test_people_end_it(begin: Begin, how: str) -> None:
    harness = await (await begin()).accept()
    await harness.ask(hold_s=60.0)
    if how == "stop":
        assert harness.drills.stop("svc", "bob")["reasons"] == ["stopped by bob"]
    else:
        await harness.control.operations.freeze(service="svc", actor="bob", reason="gala")
    await harness.play(3)
    why = {"stop": "stopped by bob", "freeze": "frozen by bob: gala"}[how]
    report = harness.drills.show("svc-drill-1")
    assert (harness.active, report["result"], report["reasons"]) == ("v1", "stopped", [why])
    with pytest.raises(Refusal, match="no drill of svc is under way"):
        harness.drills.stop("svc", "bob")


async def test_a_switch_by_a_person_overtakes_it(begin: Begin) -> None:
    harness = await (await begin()).accept()
    await harness.ask(hold_s=60.0)
    await harness.control.operations.rollback(service="svc", actor="bob", reason="enough")
    await harness.play(2)
    assert (harness.active, list(harness.registry.quarantines)) == ("v1", ["v2"])
    assert harness.drills.show("svc-drill-1")["result"] == "overtaken"


async def test_after_a_kill_of_control_it_goes_home(begin: Begin) -> None:
    first = await (await begin()).accept()
    await first.ask(hold_s=60.0)
    second = await begin()
    assert (second.active, second.drills.under_way()) == ("v2", "svc-drill-1")
    second.control.probe("v1", times=3)
    await second.play(3)
    assert (second.active, second.registry.drill) == ("v1", None)
    report = second.drills.show("svc-drill-1")
    assert (report["result"], report["reasons"]) == ("stopped", [golden("drill.control_restarted")])


async def test_the_gate_may_say_no_at_the_last_moment(begin: Begin) -> None:
    harness = await begin(probe={"method": "POST", "body": "{}"})
    await harness.accept()

    class Probing:
        async def probe_now(self, *arguments: object) -> ProbeResult:
            return ProbeResult(False, "503", 1.0)

    harness.control.control_loop.probes.probe_now = Probing().probe_now  # type: ignore[method-assign]
    with pytest.raises(Refusal) as caught:
        await harness.ask()
    assert caught.value.facts == {
        "refusals": [{"code": "gate_closed", "detail": golden("gate.fresh_probe_failed", detail="503")}]
    }
    assert (harness.active, harness.registry.drill, harness.registry.in_drill) == ("v1", None, False)


async def test_a_shadow_changes_nothing(begin: Begin) -> None:
    harness = await (await begin()).accept()
    harness.control.control_loop.probes.probe_now = _good  # type: ignore[method-assign]
    before = harness.registry.as_dict()
    report = await harness.ask("shadow")
    assert (report["result"], report["reasons"], report["workers_behind"]) == ("passed", [], [])
    assert {"probe_ms", "gate_us", "encode_us", "journal_ms", "heartbeat_age_max_s"} <= set(report)
    assert harness.registry.as_dict() == before


async def _good(*arguments: object) -> ProbeResult:
    return ProbeResult(True, "ok", 1.0)
