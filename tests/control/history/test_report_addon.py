from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from router.control.history.addon import HistoryAddon
from router.control.history.report_addon import ReportAddon
from router.control.store.history import Batch, HistoryStore, HistoryUnavailable
from router.control.views import metrics
from router.errors import OperatorError
from router.rollout.history.row import SERVICE_SLOT, Reading
from router.rollout.outcome import OUTCOMES, Outcome
from router.runtime import clock
from tests.control.control_harness import ControlHarness

SECOND_NS = 1_000_000_000


@pytest.fixture
async def office(life: ControlHarness) -> AsyncIterator[ReportAddon]:
    history = HistoryStore(life.folder, 30, 1 << 30)
    made = ReportAddon(life.control_loop, history, [], clock.now_ns())
    life.control_loop.addons = (HistoryAddon(life.control_loop, history, clock.now_ns()), made)
    yield made
    await history.close()


def note(office: ReportAddon, life: ControlHarness, step: int, ago_s: float, verdict: int = 1, **ends: int) -> None:
    """Ten seconds of exchanges that ended `ago_s` ago."""
    now_ns, now_s = clock.now_ns(), clock.wall_s()
    counters = (sum(ends.values()), 0, 0, 0, 0, *[ends.get(outcome.label, 0) for outcome in OUTCOMES])
    at_ns = now_ns - int(ago_s * SECOND_NS)
    reading = Reading(
        SERVICE_SLOT, "", step, 1, "service", at_ns, 0, counters, verdict=verdict, zero_ns=at_ns - 10 * SECOND_NS
    )
    office._history.submit(Batch("svc", 1, now_s, now_ns, (reading,)))


async def test_the_report_sums_what_the_rows_and_the_journal_say(life: ControlHarness, office: ReportAddon) -> None:
    note(office, life, 1, 50, ok=100)
    note(office, life, 2, 40, ok=98, server_error=2)
    note(office, life, 3, 30, verdict=2, ok=97, server_error=2, timed_out=1, client_error=900)
    note(office, life, 4, 20)
    note(office, life, 5, 10, verdict=0, client_error=5)
    note(office, life, 6, 5000, server_error=1000)
    await life.operations.switch(service="svc", to="v2", actor="ann")
    life.control_loop.tick(life.now_ns, 0.0)
    await office._history.close()
    found = await office.report("svc", "1h")
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
    [("nobody", "1h", (404, "service_unknown")), ("svc", "soon", (400, "period_invalid"))],
)
async def test_bad_questions_are_refused(
    life: ControlHarness, office: ReportAddon, service: str, since: str, refused: tuple[int, str]
) -> None:
    with pytest.raises(OperatorError) as error:
        await office.report(service, since)
    assert (error.value.status, error.value.code) == refused


async def test_metrics_show_what_can_be_said_and_nothing_else(life: ControlHarness, office: ReportAddon) -> None:
    assert "rollback_router_uptime_share{" not in metrics.render(life.queries).decode()
    note(office, life, 1, 50, ok=99, server_error=1)
    await office._history.close()
    life.control_loop.tick(life.now_ns, 0.0)
    await office.refresh()
    text = metrics.render(life.queries).decode()
    assert 'rollback_router_uptime_share{service="svc"} 0.99' in text
    assert 'rollback_router_deployments{service="svc"} 0.0' in text
    assert "rollback_router_change_failure_share{" not in text, "of no deployments there is no share"
    assert "rollback_router_time_to_restore_seconds{" not in text


async def test_metrics_are_computed_every_five_minutes_and_survive_a_history_that_cannot_be_read(
    life: ControlHarness, office: ReportAddon, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(life.control_loop.tasks, "spawn", lambda task, name: (task.close(), begun.append(name)))
    for second in range(0, 700, 10):
        office.on_second(clock.now_ns() + second * SECOND_NS)
    assert begun == ["success metrics"] * 3

    async def unreadable(*_: object) -> None:
        raise HistoryUnavailable("the disk hangs")

    monkeypatch.setattr(office._history, "read", unreadable)
    office._shown = {"svc": {"kept": True}}
    await office.refresh()
    assert office._shown == {"svc": {"kept": True}}


async def test_a_rollback_stands_in_the_report_of_the_next_control_too(
    life: ControlHarness, office: ReportAddon
) -> None:
    life.probe("v2", times=3)
    life.tick(10, lambda: life.workers.serve(0, Outcome.OK))
    life.tick(40, lambda: life.workers.serve(0, Outcome.SERVER_ERROR))
    await life.until_idle()
    life.control_loop.tick(life.now_ns, 0.0)
    entries = await life.journal.entries(0, 1000)
    later = ReportAddon(life.control_loop, office._history, entries, clock.now_ns())
    for one in (office, later):
        found = await one.report("svc", "1h")
        assert found["rollbacks"]["automatic"] == 1
        assert found["time_to_restore"]["n"] == 1
        assert found["time_to_detect"]["median_s"] == pytest.approx(1.0, abs=1.0)
