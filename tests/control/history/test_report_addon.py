from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from router.control.history.addon import HistoryAddon
from router.control.history.report_addon import ReportAddon
from router.control.store.history_store import HistoryStore, HistoryUnavailable, Readings
from router.control.views import metrics
from router.errors import Refusal
from router.rollout.history.row import SERVICE_SLOT, Reading
from router.rollout.outcome import OUTCOMES, Outcome
from router.rollout.units import SECOND_NS
from router.runtime import clock
from tests.control.control_harness import ControlHarness


@pytest.fixture
async def addon(control: ControlHarness) -> AsyncIterator[ReportAddon]:
    history = HistoryStore(control.folder, 30, 1 << 30)
    made = ReportAddon(control.control_loop, history, [], clock.now_ns())
    control.control_loop.add_addons(HistoryAddon(control.control_loop, history, clock.now_ns()), made)
    yield made
    await history.close()


def note(addon: ReportAddon, control: ControlHarness, step: int, ago_s: float, verdict: int = 1, **ends: int) -> None:
    """Ten seconds of exchanges that ended `ago_s` ago."""
    now_ns, now_s = clock.now_ns(), clock.wall_s()
    counters = (sum(ends.values()), 0, 0, 0, 0, *[ends.get(outcome.label, 0) for outcome in OUTCOMES])
    at_ns = now_ns - int(ago_s * SECOND_NS)
    reading = Reading(
        SERVICE_SLOT, "", step, 1, "service", at_ns, 0, counters, verdict=verdict, zero_ns=at_ns - 10 * SECOND_NS
    )
    addon.history.submit(Readings("svc", 1, now_s, now_ns, (reading,)))


async def test_the_report_sums_what_the_rows_and_the_journal_say(control: ControlHarness, addon: ReportAddon) -> None:
    note(addon, control, 1, 50, ok=100)
    note(addon, control, 2, 40, ok=98, server_error=2)
    note(addon, control, 3, 30, verdict=2, ok=97, server_error=2, timed_out=1, client_error=900)
    note(addon, control, 4, 20)
    note(addon, control, 5, 10, verdict=0, client_error=5)
    note(addon, control, 6, 5000, server_error=1000)
    await control.operations.switch(service="svc", to="v2", actor="ann")
    control.control_loop.tick(control.now_ns, 0.0)
    await addon.history.close()
    found = await addon.report("svc", "1h")
    assert found["coverage"]["rows"] == 5 or found["coverage"]["rows"] == 6, "and the first row of this control's own"
    assert (found["uptime"]["requests"], found["uptime"]["failed"]) == (300, 5)
    assert found["uptime_by_time"]["bad_s"] == 10.0, "3 of 100 is above 2 %, 2 of 100 is not"
    assert found["uptime_by_time"]["seconds"] == 30.0
    assert found["uptime_by_time"]["idle_s"] >= 20.0
    assert (found["stability"]["within_s"], found["stability"]["outside_s"]) == (30.0, 10.0)
    assert found["deployments"]["back_and_forth"] == 1
    assert found["standby"]["hours"] > 0
    assert found["until"] > found["since"] < found["known_since"]


@pytest.mark.parametrize(
    ("service", "since", "refused"),
    [("nobody", "1h", "service_unknown"), ("svc", "soon", "period_invalid")],
)
async def test_bad_questions_are_refused(
    control: ControlHarness, addon: ReportAddon, service: str, since: str, refused: str
) -> None:
    with pytest.raises(Refusal) as error:
        await addon.report(service, since)
    assert error.value.code == refused


async def test_metrics_show_what_can_be_said_and_nothing_else(control: ControlHarness, addon: ReportAddon) -> None:
    assert "rollback_router_uptime_share{" not in metrics.render(control.queries).decode()
    note(addon, control, 1, 50, ok=99, server_error=1)
    await addon.history.close()
    control.control_loop.tick(control.now_ns, 0.0)
    await addon.refresh()
    text = metrics.render(control.queries).decode()
    assert 'rollback_router_uptime_share{service="svc"} 0.99' in text
    assert 'rollback_router_deployments{service="svc"} 0.0' in text
    assert "rollback_router_change_failure_share{" not in text, "of no deployments there is no share"
    assert "rollback_router_time_to_restore_seconds{" not in text


def uptime(control: ControlHarness) -> list[str]:
    return [line for line in metrics.render(control.queries).decode().splitlines() if "uptime" in line]


async def test_metrics_are_computed_every_five_minutes_and_survive_a_history_that_cannot_be_read(
    control: ControlHarness, addon: ReportAddon, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(addon, control, 1, 50, ok=99, server_error=1)
    await addon.history.close()
    begun: list[str] = []
    monkeypatch.setattr(control.control_loop.tasks, "spawn", lambda task, name: (task.close(), begun.append(name)))
    for second in range(0, 700, 10):
        addon.on_second(clock.now_ns() + second * SECOND_NS)
    assert begun == ["success metrics"] * 3

    await addon.refresh()
    known = uptime(control)
    assert 'rollback_router_uptime_share{service="svc"} 0.99' in known

    async def unreadable(*_: object) -> None:
        raise HistoryUnavailable("the disk hangs")

    monkeypatch.setattr(addon.history, "read", unreadable)
    await addon.refresh()
    assert uptime(control) == known


async def test_a_rollback_stands_in_the_report_of_the_next_control_too(
    control: ControlHarness, addon: ReportAddon
) -> None:
    control.probe("v2", times=3)
    control.tick(10, lambda: control.workers.serve(0, Outcome.OK))
    control.tick(40, lambda: control.workers.serve(0, Outcome.SERVER_ERROR))
    await control.until_idle()
    control.control_loop.tick(control.now_ns, 0.0)
    entries = await control.journal.entries(0, 1000)
    later = ReportAddon(control.control_loop, addon.history, entries, clock.now_ns())
    for one in (addon, later):
        found = await one.report("svc", "1h")
        assert found["rollbacks"]["automatic"] == 1
        assert found["time_to_restore"]["n"] == 1
        assert found["time_to_detect"]["median_s"] == pytest.approx(2.3, abs=1.0)
