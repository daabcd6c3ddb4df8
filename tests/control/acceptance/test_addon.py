from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.control.acceptance.addon import AcceptanceAddon
from router.errors import Refusal
from router.rollout.cases.promotion_check import PromotionCheck, SuiteResult
from router.rollout.facts.entry import Entry
from router.rollout.facts.switches import RolledBack
from router.rollout.outcome import Outcome
from tests import entry_types
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings

Start = Callable[..., Awaitable[tuple[ControlHarness, AcceptanceAddon]]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    lives: list[ControlHarness] = []

    async def begin(entries: list[Entry] | None = None, **service: Any) -> tuple[ControlHarness, AcceptanceAddon]:
        control = await ControlHarness(settings(tmp_path, **service), segment, workers, tmp_path).begin()
        lives.append(control)
        addon = AcceptanceAddon(control.control_loop, entries or [])
        control.control_loop.add_addons(addon)
        return control, addon

    yield begin
    for control in lives:
        await control.end()
    workers.close()
    segment.close()


def rolled_back(incident: str = "svc-1-4", automatic: bool = True, **trigger: Any) -> Entry:
    entry = {"kind": "hard_failure", "detail": "hang", "limit": 12.0, **trigger}
    data = {"from": "v2", "to": "v1", "reason": "nothing begun for 12 s", "incident": incident, "automatic": automatic}
    return Entry.of(
        entry_types.ROLLED_BACK, "svc", "verdict", {**data, "trigger": entry if automatic else None}, 5.0, 0, 1
    )


async def test_a_verdict_teaches(start: Start) -> None:
    control, addon = await start()
    control.probe("v2", times=3)

    def failing() -> None:
        if control.states()["v1"] == "active":
            control.workers.serve(0, Outcome.SERVER_ERROR, 5)

    control.tick(30, failing)
    assert control.states()["v2"] == "active"
    control.control_loop.tick(control.now_ns + 1, 0.0)
    await control.until_idle()
    [added] = addon.show("svc")["added"]
    assert (added["metric"], added["limit"], added["origin"], added["actor"]) == (
        "fault_share",
        0.02,
        control.service_controller.registry.incidents[-1]["id"],
        "control",
    )
    assert added["reason"].startswith("v1 was rolled back: ")
    control.tick()
    standing = {criterion["name"]: criterion for criterion in addon.show("svc")["criteria"]}
    assert standing["fault_share"]["origin"] == added["origin"], "asked of the version that serves now, too"


async def test_what_a_person_approved_teaches_as_well(start: Start) -> None:
    control, addon = await start()
    approved = rolled_back()
    assert isinstance(approved.fact, RolledBack)
    approved = replace(approved, actor="ann", fact=replace(approved.fact, automatic=False, proposal="p-1"))
    addon.on_entry(approved)
    await control.until_idle()
    assert [(one["metric"], one["limit"]) for one in addon.show("svc")["added"]] == [("longest_wait_s", 12.0)]


@pytest.mark.parametrize(
    ("entry", "service"),
    [
        pytest.param(rolled_back(automatic=False), {}, id="a person's rollback has no trigger"),
        pytest.param(rolled_back(), {"acceptance": {"learn": False}}, id="nothing is to be learnt"),
        pytest.param(rolled_back(kind="business", detail=""), {}, id="nothing that could be measured"),
    ],
)
async def test_what_teaches_nothing(start: Start, entry: Entry, service: dict[str, Any]) -> None:
    _, addon = await start(**service)
    addon.on_entry(entry)
    assert addon.show("svc")["added"] == []


async def test_a_lesson_that_a_kill_has_kept_away_is_caught_up_with_once(start: Start) -> None:
    _, addon = await start([rolled_back()])
    [added] = addon.show("svc")["added"]
    assert (added["metric"], added["limit"], added["origin"]) == ("longest_wait_s", 12.0, "svc-1-4")


async def test_a_lesson_that_was_learnt_is_not_learnt_again(start: Start) -> None:
    known = {"metric": "longest_wait_s", "limit": 12.0, "origin": "svc-1-4", "reason": "x"}
    entry = Entry.of(entry_types.CRITERION_ADDED, "svc", "control", known, 6.0, 0, 1)
    _, addon = await start([rolled_back(), entry])
    assert addon.show("svc")["added"] == []


async def test_people_edit_and_it_is_journalled(start: Start) -> None:
    control, addon = await start()
    how = {"service": "svc", "actor": "ann", "reason": "we saw this before", "dry_run": False}
    assert (await addon.set(metric="fault_share", limit=0.005, **{**how, "dry_run": True}))["added"] == []
    entry = await addon.set(metric="fault_share", limit=0.005, **how)
    assert (entry["changed"], [(one["metric"], one["limit"]) for one in entry["added"]]) == (
        True,
        [("fault_share", 0.005)],
    )
    assert (await addon.set(metric="fault_share", limit=0.005, **how))["changed"] is False
    assert (await addon.remove(metric="fault_share", **how))["added"] == []
    entries = (await control.queries.journal())["entries"]
    assert [entry["type"] for entry in entries][-2:] == ["criterion_set", "criterion_removed"]
    assert entries[-1]["data"] == {
        "metric": "fault_share",
        "limit": 0.005,
        "origin": "ann",
        "reason": "we saw this before",
    }
    with pytest.raises(Refusal, match="there is no service 'other'"):
        addon.show("other")
    with pytest.raises(Refusal, match="slo_ms is not set"):
        await addon.set(metric="late_share", limit=0.02, **how)


async def test_the_answer_shows_the_criteria_after_the_change(start: Start) -> None:
    control, addon = await start(acceptance={"after_s": 600, "requests_min": 500})
    control.tick(5, lambda: control.workers.serve(0, Outcome.OK, 5))
    how = {"service": "svc", "metric": "fault_share", "actor": "ann", "reason": "we saw this before", "dry_run": False}
    shown = await addon.set(limit=0.005, **how)
    assert [one["limit"] for one in shown["criteria"] if one["name"] == "fault_share"] == [0.005]
    shown = await addon.remove(**how)
    assert "requests" in (names := [one["name"] for one in shown["criteria"]])
    assert "fault_share" not in names


async def test_a_version_that_falls_short_is_not_accepted(start: Start) -> None:
    control, addon = await start(acceptance={"after_s": 1, "requests_min": 5, "cases": "required"})
    control.service_controller.machine.set_promotion_check(lambda: PromotionCheck(revision="r1"))
    control.tick(50, lambda: control.workers.serve(0, Outcome.OK, 5))
    status = control.queries.service_status("svc")
    assert (status["state"], status["acceptance"]["accepted"]) == ("probation", False)
    assert [criterion["name"] for criterion in status["acceptance"]["criteria"]] == [
        "requests",
        "seconds",
        "quality_alerts",
        "cases",
    ]
    unmet = [criterion for criterion in control.service_controller.criteria(control.now_ns) if not criterion.passes]
    assert [(criterion.name, criterion.state) for criterion in unmet] == [("cases", "unknown")]
    control.service_controller.machine.set_promotion_check(
        lambda: PromotionCheck(revision="r1", checked={"v1": SuiteResult("v1", 0, "r1", 3, 0, ())})
    )
    control.tick(12, lambda: control.workers.serve(0, Outcome.OK, 5))
    assert control.queries.service_status("svc")["state"] == "accepted"
    assert addon.show("svc")["criteria"] == []
