from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from router.control.history.addon import HistoryAddon, _point, open_history
from router.control.store.history_file import FILE
from router.control.views import metrics
from router.errors import Refusal
from router.rollout.history.row import ROLES, Row
from router.rollout.outcome import Outcome
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd
from router.runtime import clock
from router.shm import layout as at
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.texts import golden


@pytest.fixture
async def kept(control: ControlHarness) -> AsyncIterator[HistoryAddon]:
    made = opened(control)
    yield made
    await made.close()


def opened(control: ControlHarness) -> HistoryAddon:
    history = open_history(control.folder, control.settings, control.control_loop.alarms)
    made = HistoryAddon(control.control_loop, history, control.now_ns)
    control.control_loop.add_addons(made)
    return made


def pass_by(control: ControlHarness, seconds: float, each: Any = lambda: None) -> None:
    """Let time pass for the whole controller: services are judged, offices are told and tick."""
    control.pass_time(seconds, each)


async def rows(kept: HistoryAddon, version: str | None = None) -> list[Row]:
    """All rows but those that end with the facts of the start."""
    await kept.history.close()
    found = await kept.history.rows("svc", 0, 4e9, version)
    return [row for row in found if row.span_ms >= 1000]


def forget(folder: Path) -> None:
    for part in folder.glob(f"{FILE}*"):
        part.unlink()


def values(row: Row) -> tuple[str, str, int, int, int]:
    """Version, role, seconds, requests at fault or begun, faults."""
    return row.version, ROLES[row.role], round(row.span_ms / 1000), row.requests, row.faults


async def test_every_ten_seconds_each_slot_and_the_service_itself_get_a_row(
    control: ControlHarness, kept: HistoryAddon
) -> None:
    def load() -> None:
        control.workers.serve(0, Outcome.OK, 3)
        row = control.segment.layout.worker_slot(0, 0, 0) + at.L_EXCHANGES
        control.segment.words[row + Outcome.OK] += 3
        control.segment.words[control.segment.layout.worker_service(0, 0) + at.LS_ACCEPTED] += 3

    control.probe("v2", times=3)
    pass_by(control, 31, load)
    found = await rows(kept)
    assert len(found) == 9
    assert {values(row)[:3] for row in found} == {("v1", "active", 10), ("v2", "standby", 10), ("", "service", 10)}
    active = [row for row in found if row.version == "v1"]
    assert [row.ok for row in active] == [row.begun for row in active]
    assert sum(row.begun for row in active) == 900
    assert sum(row.claimed for row in found if row.version == "") == 900
    assert sum(row.ok for row in found if row.version == "") == 900
    assert {row.ready for row in found if row.version == "v2"} == {1}
    assert {row.boot for row in found} == {1}
    assert abs(found[-1].at_ms / 1000 - clock.wall_s()) < 60


async def test_a_change_of_roles_ends_the_row(control: ControlHarness, kept: HistoryAddon) -> None:
    pass_by(control, 14, lambda: control.workers.serve(0, Outcome.OK, 2))
    await control.operations.switch(service="svc", to="v2", actor="ann")
    pass_by(control, 7, lambda: control.workers.serve(1, Outcome.OK, 1))
    found = await rows(kept)
    assert [values(row)[:3] for row in found if row.version == "v1"] == [
        ("v1", "active", 10), ("v1", "active", 4), ("v1", "standby", 6),
    ]  # fmt: skip
    of_v2 = [row for row in found if row.version == "v2"]
    assert [values(row)[1] for row in of_v2] == ["standby", "standby", "active"]
    assert sum(row.begun for row in of_v2[:2]) <= 1, "offices are told within a tick"
    assert of_v2[2].begun == pytest.approx(60, abs=1)
    assert of_v2[2].generation == of_v2[1].generation + 1


async def test_what_a_trigger_said_stands_in_the_row_in_which_it_said_so(
    control: ControlHarness, kept: HistoryAddon
) -> None:
    control.probe("v2", times=3)
    pass_by(control, 11, lambda: control.workers.serve(0, Outcome.OK))
    pass_by(control, 8, lambda: control.workers.serve(0, Outcome.SERVER_ERROR))
    assert control.states()["v2"] == "active", "rolled back"
    pass_by(control, 12, lambda: control.workers.serve(1, Outcome.OK))
    found = [row for row in await rows(kept) if row.version == ""]
    said = [("", 1), ("hard_failure.errors!", 2), ("", 1), ("", 1)]
    assert [(row.failing, row.verdict) for row in found] == said
    failed = [row for row in await rows(kept, "v1") if row.failing]
    assert [values(row)[:2] for row in failed] == [("v1", "active")]
    assert failed[0].server_error > 10


async def test_a_candidate_counts_from_when_it_came(control: ControlHarness, kept: HistoryAddon) -> None:
    pass_by(control, 12)
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    slot = control.service_controller.executor.held.table.slot_of("v3")
    assert slot is not None
    pass_by(control, 10, lambda: control.workers.serve(slot, Outcome.OK))
    candidate = await rows(kept, "v3")
    assert {values(row)[:2] for row in candidate} == {("v3", "candidate")}
    assert sum(row.begun for row in candidate) == pytest.approx(81, abs=1)


async def test_a_restarted_control_counts_nothing_twice(tmp_path: Path) -> None:
    segment = new_segment()
    workers = FakeWorkers(segment)
    segment.words[at.H_CONTROL_STARTS] = 1
    control = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    kept = opened(control)
    pass_by(control, 20, lambda: workers.serve(0, Outcome.OK))
    await rows(kept)
    now_ns = control.now_ns
    await kept.history.close()
    await control.end()

    segment.words[at.H_CONTROL_STARTS] = 2
    workers.serve(0, Outcome.OK, 7)
    control = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    control.now_ns = now_ns
    kept = opened(control)
    pass_by(control, 20, lambda: workers.serve(0, Outcome.OK))
    await kept.close()
    found = await kept.history.rows("svc", 0, 4e9, "v1")
    assert sum(row.begun for row in found) == 407
    assert sum(row.span_ms for row in found) == pytest.approx(40_000, abs=100)

    # Without the file nothing is known of the past: a gap, and no row that holds all of it.
    forget(tmp_path)
    await control.end()
    control = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    control.now_ns = now_ns + 30 * SECOND_NS
    kept = opened(control)
    pass_by(control, 25, lambda: workers.serve(0, Outcome.OK))
    assert [row.begun for row in await rows(kept, "v1")] == [100]
    await kept.close()
    await control.end()
    workers.close()
    segment.close()


async def test_lost_rows_and_a_damaged_file_are_alarms(control: ControlHarness, kept: HistoryAddon) -> None:
    kept.history.on_error("disk full")
    kept.history.on_aside("history.corrupt-1.sqlite")
    codes = {alarm["code"]: alarm["detail"] for alarm in control.control_loop.alarms.listing()}
    assert codes == {
        "history_unavailable": golden("history.rows_lost"),
        "history_damaged": golden("history.set_aside"),
    }
    kept.history.on_error(None)
    assert [alarm["code"] for alarm in control.control_loop.alarms.listing()] == ["history_damaged"]


async def test_it_is_told_to_keep_less(control: ControlHarness, kept: HistoryAddon) -> None:
    less = {"keep_days": 2.0, "file_bytes_max": 1 << 21}
    kept.reconfigure(control.settings.model_copy(update={"history": control.settings.history.model_copy(update=less)}))
    assert (kept.history.keep_days, kept.history.file_bytes_max) == (2.0, 1 << 21)


async def test_what_is_kept_and_what_was_lost_are_metrics(control: ControlHarness, kept: HistoryAddon) -> None:
    kept.history.dropped = 3
    text = metrics.render(control.queries).decode()
    assert "rollback_router_history_batches_dropped_total 3.0" in text
    assert "rollback_router_history_bytes " in text


async def test_the_past_is_shown_in_steps(control: ControlHarness, kept: HistoryAddon) -> None:
    control.probe("v2", times=3)
    pass_by(control, 31, lambda: control.workers.serve(0, Outcome.OK, 2))
    await rows(kept)
    shown = await kept.points("svc", "1h", "2100-01-01", None, None)
    # These rows lie in the near future: the fake clock is faster than the true one.
    assert (shown["step_s"], shown["complete"]) == (10.0, True)
    ahead = await kept.history.read(lambda file: file.steps("svc", 0, 1 << 60, 3_600_000, None, 10, times=False))
    assert {(step.version, ROLES[step.role]) for step in ahead} == {
        ("v1", "active"),
        ("v2", "standby"),
        ("", "service"),
    }
    only = await kept.history.read(lambda file: file.steps("svc", 0, 1 << 60, 3_600_000, "v1", 10, times=True))
    assert sum(step.begun for step in only) == 602
    assert {(step.ready, step.verdict) for step in only} <= {(0, 1), (1, 1)}
    assert [step.times_us for step in only] == [None], "these workers time nothing"
    assert _point(only[0]._replace(times_us="[1500.0,20000.0]"))["p99_ms"] == 20.0
    with pytest.raises(Refusal, match="no service 'nobody'"):
        await kept.points("nobody", "1h", "", None, None)
    with pytest.raises(Refusal, match="write 30d"):
        await kept.points("svc", "soon", "", None, None)


async def test_a_row_has_what_the_attempts_came_to(control: ControlHarness, kept: HistoryAddon) -> None:
    words, row = control.segment.words, control.segment.layout.worker_slot(1, 0, 0) + at.L_WORK
    pass_by(control, 11)
    words[row + at.B_ASKED], words[row + at.B_ENDS + WorkEnd.USEFUL], words[row + at.B_ENDS + WorkEnd.FAULT] = 9, 6, 2
    pass_by(control, 10)
    assert [(found.useful, found.without_use) for found in await rows(kept, "v1")][:2] == [(0, 0), (6, 2)]
    (step,) = await kept.history.read(lambda file: file.steps("svc", 0, 1 << 60, 3_600_000, "v1", 10, times=False))
    assert (_point(step)["useful"], _point(step)["without_use"]) == (6, 2)
    assert _point(step._replace(version=""))["useful"] is None
