"""The seconds of the last quarter of an hour: as they were counted, only where something was asked, and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from router.control.history import recent
from router.control.history.addon import HistoryAddon, open_history
from router.control.history.answers import HistoryDocument, HistoryPoint
from router.control.history.recent import RecentHistory
from router.errors import Refusal
from router.rollout.outcome import Outcome
from router.rollout.placement.slot_table import HeldSlot
from router.rollout.stats.histogram import index
from router.rollout.stats.window import Window, WindowEntry, between
from router.shm import layout as at
from tests.control import answer_check
from tests.control.control_harness import ControlHarness


def play(control: ControlHarness, seconds: int) -> Iterator[RecentHistory]:
    """Serve 40 requests a second on v1, 4 of which fail, in 2 ms; yield the history after each second."""
    kept = RecentHistory()
    row = control.segment.layout.worker_slot(0, 0, 0) + at.L_FIRST_BYTE + index(2000)

    def load() -> None:
        control.workers.serve(0, Outcome.OK, 4)
        control.segment.words[row] += 4

    for _ in range(seconds):
        control.tick(9, load)
        control.tick(1, lambda: control.workers.serve(0, Outcome.SERVER_ERROR, 4))
        kept.record(control.service_controller, 1_000_000 + control.now_ns / 1e9, control.now_ns)
        yield kept


def points(kept: RecentHistory) -> list[HistoryPoint]:
    return kept.points(0.0, 1e10)


async def test_a_second_is_what_was_counted_in_it(control: ControlHarness) -> None:
    *_, kept = play(control, 6)
    found = points(kept)
    assert {point["version"] for point in found} == {"v1"}  # nothing was asked of the standby
    assert len(found) >= 4
    point = found[-1]
    assert (point["asked"], point["requests"], point["faults"], point["role"]) == (40, 40, 4, "active")
    assert point["p50_ms"] == pytest.approx(2.0, rel=0.07)
    assert point["useful_p50_ms"] is None
    assert point["seconds"] == pytest.approx(1.0, abs=0.11)
    assert sum(point["asked"] for point in found) == pytest.approx(40 * len(found), abs=8)
    document = {
        "service": "svc", "since": "", "until": "", "step_s": 1.0, "complete": True, "points": found,
    }  # fmt: skip
    assert answer_check.differences(HistoryDocument, document) == []


async def test_the_newest_second_is_one_point_a_version(control: ControlHarness) -> None:
    *_, kept = play(control, 3)
    assert kept.newest() == points(kept)[-1:]
    assert RecentHistory().newest() == []


async def test_points_are_of_the_period_and_the_version(control: ControlHarness) -> None:
    *_, kept = play(control, 6)
    whole = points(kept)
    middle = 1_000_000 + control.now_ns / 1e9 - 2.5
    assert kept.points(middle, 1e10) == whole[-2:]
    assert kept.points(0.0, middle) == whole[:-2]
    assert kept.points(0.0, 1e10, "v2") == []


async def test_an_active_version_without_requests_has_points_of_zero(control: ControlHarness) -> None:
    kept = RecentHistory()
    for _ in range(4):
        control.tick(10)
        kept.record(control.service_controller, control.now_ns / 1e9, control.now_ns)
    assert [(point["asked"], point["p99_ms"]) for point in points(kept)] == [(0, None)] * len(points(kept))
    assert len(points(kept)) >= 2


async def test_at_rest_no_histogram_is_compared(control: ControlHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 services at rest cost next to nothing."""
    asked: list[bool] = []

    def counted(base: WindowEntry, entry: WindowEntry, *, histograms: bool = True) -> Window:
        asked.append(histograms)
        return between(base, entry, histograms=histograms)

    monkeypatch.setattr(recent, "between", counted)
    kept = RecentHistory()
    for _ in range(4):
        control.tick(10)
        kept.record(control.service_controller, control.now_ns / 1e9, control.now_ns)
    assert set(asked) == {False}
    assert len(asked) == len(kept)  # and none at all of the standby


async def test_the_number_of_points_is_bounded(control: ControlHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "POINTS_MAX", 3)
    *_, kept = play(control, 8)
    assert len(kept) == 3


async def test_a_point_is_small(control: ControlHarness) -> None:
    assert recent._PACKED.size < 100


async def test_a_version_in_a_reused_slot_begins_anew(control: ControlHarness) -> None:
    *_, kept = play(control, 3)
    before = len(kept)
    held = control.service_controller.executor.held
    held.table = replace(held.table, held={**held.table.held, "v1": HeldSlot(0, 99)})
    kept.record(control.service_controller, control.now_ns / 1e9, control.now_ns)
    assert len(kept) == before


async def test_seconds_are_asked_for_by_their_step(control: ControlHarness, tmp_path: Path) -> None:
    made = HistoryAddon(control.control_loop, open_history(tmp_path, control.settings, control.alarms), control.now_ns)
    control.control_loop.add_addons(made)
    control.pass_time(4, lambda: control.workers.serve(0, Outcome.OK, 2))
    found = await made.points("svc", "10m", "", 1.0, None)
    assert (found["step_s"], {point["version"] for point in found["points"]}) == (1.0, {"v1"})
    assert made.newest_points("svc")[-1] == found["points"][-1]
    for since, step_s in (("16m", 1.0), ("10m", 2.0), ("10m", 9.9)):
        with pytest.raises(Refusal) as refused:
            await made.points("svc", since, "", step_s, None)
        assert refused.value.code == "period_invalid"
    await made.close()
