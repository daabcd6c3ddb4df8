from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from router.control.drills.addon import LATE_MAX_S
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.runtime import clock
from tests import entry_types
from tests.control.control_harness import FakeWorkers, new_segment
from tests.control.drill_harness import HOLD_S, DrillHarness
from tests.texts import golden

Begin = Callable[..., Awaitable[DrillHarness]]
TUESDAYS = {"hold_s": HOLD_S, "schedule": "0 10 * * 2", "timezone": "Europe/Berlin"}
DAY_S = 86_400.0


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    stages: list[DrillHarness] = []

    async def start(entries: list[Entry] | None = None, **service: Any) -> DrillHarness:
        stages.append(await DrillHarness(segment, workers, tmp_path, **service).begin(entries))
        return await stages[-1].accept()

    yield start
    for harness in stages:
        await harness.control.end()
    workers.close()
    segment.close()


def codes(error: Refusal) -> list[str]:
    return [refusal["code"] for refusal in error.facts["refusals"]]


def alarms(harness: DrillHarness) -> dict[str, str]:
    return {alarm["code"]: alarm["detail"] for alarm in harness.control.control_loop.alarms.listing()}


# -- asked by people
async def test_never_two_at_once(begin: Begin) -> None:
    harness = await begin()
    await harness.ask()
    with pytest.raises(Refusal) as caught:
        await harness.ask()
    assert caught.value.code == "drill_unsafe"
    assert "drill svc-drill-1 is not over" in caught.value.detail
    assert codes(caught.value)[0] == "drill_under_way"


async def test_a_refusal_names_every_reason_and_changes_nothing(begin: Begin) -> None:
    harness = await begin()
    await harness.control.operations.freeze(service="svc", actor="bob", reason="gala")
    harness.control.probe("v2", ok=False)
    before = (harness.registry.as_dict(), harness.drills.listing()["drills"])
    with pytest.raises(Refusal) as caught:
        await harness.ask(force=True)
    assert codes(caught.value) == ["frozen", "standby_not_ready"]
    assert "--force" not in caught.value.detail
    assert (harness.registry.as_dict(), harness.drills.listing()["drills"]) == before


async def test_what_may_be_forced(begin: Begin) -> None:
    harness = await begin()
    await harness.control.operations.switch(service="svc", to="v2", actor="bob")
    with pytest.raises(Refusal, match="v2 is on probation; --force goes on all the same") as caught:
        await harness.ask()
    assert codes(caught.value) == ["probation"]
    assert (await harness.ask(force=True))["phase"] == "away"
    assert harness.active == "v1"


async def test_a_dry_run_says_whether_it_would_be_safe(begin: Begin) -> None:
    harness = await begin()
    documents = await harness.ask(dry_run=True)
    assert (documents["dry_run"], documents["message"]) == (True, golden("drill.safe_now"))
    assert (harness.drills.under_way(), harness.drills.listing()["drills"]) == (None, [])


async def test_a_journal_that_cannot_be_written_refuses_it(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = await begin()

    async def full(*records: object, **how: object) -> None:
        raise Refusal(RefusalCode.JOURNAL_UNAVAILABLE, "no space left on device")

    monkeypatch.setattr(harness.control.service_controller.executor, "append_and_apply", full)
    with pytest.raises(Refusal, match="no space left on device"):
        await harness.ask()
    assert (harness.active, harness.drills.under_way(), harness.registry.drill) == ("v1", None, None)


async def test_unknown_ones(begin: Begin) -> None:
    harness = await begin()
    with pytest.raises(Refusal, match="drill_unknown"):
        harness.drills.show("svc-drill-9")
    with pytest.raises(Refusal, match="service_unknown"):
        harness.drills.listing("other")


# -- by schedule
def due_s(harness: DrillHarness) -> float:
    found = harness.control.service_controller.service.drill.next_due_s(clock.wall_s())
    assert found is not None
    return found


async def test_a_schedule_begins_a_drill_once(begin: Begin) -> None:
    harness = await begin(drill=TUESDAYS)
    at_s = due_s(harness)
    assert harness.drills.status("svc")["drill"]["next_at"] == clock.iso(at_s)
    harness.drills.keep_time(at_s - 1, harness.control.now_ns)
    assert harness.drills.under_way() is None
    harness.drills.keep_time(at_s, harness.control.now_ns)
    harness.drills.keep_time(at_s + 1, harness.control.now_ns)
    await harness.play(HOLD_S + 3)
    documents = harness.drills.listing()["drills"]
    assert [(drill["by"], drill["actor"], drill["reason"], drill["result"]) for drill in documents] == [
        ("schedule", "schedule", "0 10 * * 2", "passed")
    ]
    assert harness.drills.status("svc")["drill"]["next_at"] == clock.iso(at_s + 7 * DAY_S)


async def test_a_shadow_by_schedule(begin: Begin) -> None:
    harness = await begin(drill={**TUESDAYS, "mode": "shadow"})
    harness.drills.keep_time(due_s(harness), harness.control.now_ns)
    await harness.play(1)
    documents = harness.drills.listing()["drills"][0]
    assert (documents["mode"], documents["result"], harness.active) == ("shadow", "refused", "v1"), (
        "nothing listens there"
    )


async def test_a_refused_one_is_journalled_and_waits_for_the_next_time(begin: Begin) -> None:
    harness = await begin(drill=TUESDAYS)
    await harness.control.operations.freeze(service="svc", actor="bob", reason="gala")
    at_s = due_s(harness)
    for second in range(3):
        harness.drills.keep_time(at_s + second, harness.control.now_ns)
    await harness.play(0.2)
    documents = harness.drills.listing()["drills"]
    assert [(drill["result"], drill["codes"], drill["reasons"]) for drill in documents] == [
        ("refused", ["frozen"], ["frozen by bob: gala"])
    ]
    assert harness.active == "v1"


async def test_what_was_missed_is_not_caught_up(begin: Begin) -> None:
    harness = await begin(drill=TUESDAYS)
    at_s = due_s(harness)
    harness.drills.keep_time(at_s + 3 * 7 * DAY_S + LATE_MAX_S + 1, harness.control.now_ns)
    assert harness.drills.under_way() is None
    assert harness.drills.status("svc")["drill"]["next_at"] == clock.iso(at_s + 4 * 7 * DAY_S)


async def test_a_scheduled_one_waits_for_its_turn(begin: Begin) -> None:
    harness = await begin(drill=TUESDAYS)
    await harness.ask()
    at_s = due_s(harness)
    harness.drills.keep_time(at_s, harness.control.now_ns)
    await harness.play(0.2)
    assert len(harness.drills.listing()["drills"]) == 1
    await harness.play(HOLD_S + 3)
    harness.drills.keep_time(at_s + 6, harness.control.now_ns)
    await harness.play(0.5)
    assert [drill["by"] for drill in harness.drills.listing()["drills"]] == ["schedule", "operator"]


async def test_another_schedule_by_sighup(begin: Begin) -> None:
    harness = await begin()
    assert harness.drills.status("svc")["drill"]["next_at"] is None
    other = DrillHarness(harness.control.segment, harness.workers, harness.control.folder, drill=TUESDAYS).told
    harness.control.control_loop.reconfigure(other)
    assert harness.drills.status("svc")["drill"]["next_at"] == clock.iso(due_s(harness))


# -- how long ago
def passed(days_ago: float, mode: str = "real") -> Entry:
    data = {"drill": "svc-drill-1", "mode": mode, "result": "passed", "reasons": []}
    return Entry.of(entry_types.DRILL_ENDED, "svc", "control", data, clock.wall_s() - days_ago * DAY_S, 0, 1)


def accepted(days_ago: float) -> Entry:
    return Entry.of(entry_types.ACCEPTED, "svc", "control", {"version": "v1"}, clock.wall_s() - days_ago * DAY_S, 0, 1)


@pytest.mark.parametrize(
    ("entries", "settings", "detail"),
    [
        pytest.param([passed(30.9)], {}, None, id="30 days ago"),
        pytest.param(
            [passed(32)],
            {},
            "the last drill that passed was 32 days ago; 31 is the limit (drill.overdue_after_days)",
            id="32 days ago",
        ),
        pytest.param([accepted(30)], {}, None, id="never, and young"),
        pytest.param(
            [accepted(40)],
            {},
            "no drill has passed in the 40 days since a version was first accepted (limit: 31 days, drill.overdue_after_days)",
            id="never",
        ),
        pytest.param([passed(32)], {"overdue_after_days": "none"}, None, id="nobody wants to know"),
        pytest.param(
            [passed(2, "shadow")],
            {"overdue_after_days": 1, "mode": "shadow"},
            "the last drill that passed was 2 days ago; 1 is the limit (drill.overdue_after_days)",
            id="a shadow where shadows count",
        ),
    ],
)
async def test_overdue(begin: Begin, entries: list[Entry], settings: dict[str, Any], detail: str | None) -> None:
    harness = await begin(entries, drill={"hold_s": HOLD_S, **settings})
    assert alarms(harness).get("drill_overdue") == detail
    assert harness.drills.status("svc")["drill"]["overdue"] is (detail is not None)


async def test_the_time_of_the_last_good_one_is_a_figure(begin: Begin) -> None:
    harness = await begin([passed(2)])
    [family] = harness.drills.metrics()
    assert [(sample.name, sample.labels) for sample in family.samples] == [
        ("rollback_router_last_drill_passed_timestamp_seconds", {"service": "svc"})
    ]
    assert family.samples[0].value == pytest.approx(clock.wall_s() - 2 * DAY_S, abs=5)


async def test_without_one_there_is_no_figure_and_a_good_one_ends_the_alarm(begin: Begin) -> None:
    harness = await begin([accepted(40)])
    assert [family.samples for family in harness.drills.metrics()] == [[]]
    assert "drill_overdue" in alarms(harness)
    await harness.ask()
    await harness.play(HOLD_S + 3)
    assert alarms(harness) == {}
    assert harness.drills.status("svc")["drill"]["last_result"] == "passed"
