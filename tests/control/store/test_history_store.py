from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.store import history_store as histories
from router.control.store.history_file import FILE, HistoryFile
from router.control.store.history_store import QUEUE_MAX, HistoryStore, HistoryUnavailable, Readings
from router.rollout.history.row import Reading, Row
from router.rollout.outcome import OUTCOMES
from router.rollout.stats.histogram import lower_bound
from router.rollout.units import SECOND_NS
from tests.rollout.history.test_row import reading
from tests.waiting import until

DAY_S = 86_400.0
START_S = 1_700_000_000.0


class Keeper:
    """A history over a folder, and what it said of its disk."""

    def __init__(self, folder: Path, keep_days: float, file_bytes_max: int, queue_max: int = QUEUE_MAX) -> None:
        self.said: list[str | None] = []
        self.aside: list[str] = []
        self.history = HistoryStore(
            folder, keep_days, file_bytes_max, self.said.append, self.aside.append, queue_max=queue_max
        )

    def note(self, at_s: float, begun: int, boot: int = 1, service: str = "svc", **other: Any) -> bool:
        """Submit a reading of `begun` requests so far, `at_s` seconds after the start."""
        told = reading(at_s, begun, **{"zero_ns": None, **other})
        return self.history.submit(Readings(service, boot, START_S + at_s, told.at_ns, (told,)))

    async def rows(self, version: str | None = None, service: str = "svc") -> list[Row]:
        return await self.history.rows(service, 0, 2 * START_S, version)

    async def begun(self) -> list[tuple[float, float, int]]:
        """(end, seconds, begun) of each row, in seconds after the start."""
        return [(row.at_ms / 1000 - START_S, row.span_ms / 1000, row.begun) for row in await self.rows()]


@asynccontextmanager
async def keeper(
    folder: Path, keep_days: float = 30, file_bytes_max: int = 1 << 30, queue_max: int = QUEUE_MAX
) -> AsyncIterator[Keeper]:
    made = Keeper(folder, keep_days, file_bytes_max, queue_max)
    yield made
    await made.history.close()


async def reached(kept: Keeper, at_s: float) -> None:
    """Wait for the row that ends `at_s` seconds after the start; what came with it is then done, too."""

    async def is_there() -> bool:
        begun = await kept.begun()
        return bool(begun) and begun[-1][0] >= at_s

    await until(is_there, within_s=20)


async def written(kept: Keeper, count: int) -> None:

    async def all_are_there() -> bool:
        return len(await kept.rows()) >= count

    await until(all_are_there)


async def test_what_was_read_is_found_again_by_time_and_version(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        both = (
            reading(10, 5, zero_ns=0, ready=True, failing="error_rate!", verdict=2),
            reading(10, 2, slot=1, version="v2", role="standby", zero_ns=0),
        )
        kept.history.submit(Readings("svc", 7, START_S + 10, 10 * SECOND_NS, both))
        kept.note(20, 9, boot=7)
        kept.note(20, 9, service="other", zero_ns=0)
        await written(kept, 3)
        rows = await kept.rows()
        assert [(row.at_ms, row.version, row.begun, row.boot) for row in rows] == [
            (int(START_S + 10) * 1000, "v1", 5, 7),
            (int(START_S + 10) * 1000, "v2", 2, 7),
            (int(START_S + 20) * 1000, "v1", 4, 7),
        ]
        assert (rows[0].ready, rows[0].failing, rows[0].verdict) == (1, "error_rate!", 2)
        assert await kept.rows("v2") == [rows[1]]
        assert await kept.rows("v9") == await kept.rows(service="nobody") == []
        assert await kept.history.rows("svc", START_S + 10, START_S + 20) == [rows[2]], (
            "ended after since, not after until"
        )
        assert await kept.history.rows("svc", START_S, START_S + 20, limit=2) == rows[:2]
        assert kept.said == []
    assert oct(os.stat(tmp_path / FILE).st_mode & 0o777) == "0o600"


async def test_steps_have_sums_and_if_asked_for_times(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        for step in range(1, 7):
            kept.note(step * 10, 100 * step, zero_ns=0)
        await written(kept, 6)
        since_ms = int(START_S * 1000)
        asked = ("svc", since_ms, since_ms + 60_000, 30_000, None, 100)
        found = await kept.history.read(lambda file: file.steps(*asked, times=True))
        plain = await kept.history.read(lambda file: file.steps(*asked, times=False))
        assert [(one.at_ms - since_ms, one.begun, one.span_ms, one.rows) for one in found] == [
(10_000, 300, 30_000, 3), (40_000, 300, 30_000, 3),
        ]  # fmt: skip
        low, high = lower_bound(100), lower_bound(101)
        for one in found:
            p50_us, p99_us = orjson.loads(one.times_us or "")
            assert low < p50_us < p99_us < high
        assert [one._replace(times_us=None) for one in found] == plain


async def test_a_restarted_control_goes_on_where_its_predecessor_stopped(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0)
        kept.note(20, 150)
        await written(kept, 2)
    async with keeper(tmp_path) as kept:
        kept.note(33, 190)
        await written(kept, 3)
        assert await kept.begun() == [(10, 10, 100), (20, 10, 50), (33, 13, 40)]


async def test_a_cold_start_counts_from_zero_and_leaves_a_gap(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0)
        await written(kept, 1)
    async with keeper(tmp_path) as kept:
        kept.note(25, 7, boot=2, zero_ns=18 * SECOND_NS)
        await written(kept, 2)
        assert await kept.begun() == [(10, 10, 100), (25, 7, 7)], "nobody knows what was between 10 and 18"


async def test_what_was_not_read_in_time_is_a_gap_and_not_counted_later(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0)
        kept.note(50, 900)
        kept.note(60, 910)
        await written(kept, 2)
        assert await kept.begun() == [(10, 10, 100), (60, 10, 10)]


async def test_a_wall_clock_that_jumps_back_loses_no_row(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        for at_s, wall_s in ((10, 10), (20, 20), (30, 10), (40, 20)):
            told = reading(at_s, at_s, zero_ns=0)
            kept.history.submit(Readings("svc", 1, START_S + wall_s, told.at_ns, (told,)))
        await written(kept, 4)
        assert await kept.begun() == [(10, 10, 10), (10, 10, 10), (20, 10, 10), (20, 10, 10)]


async def test_old_rows_go_an_hour_at_a_time(tmp_path: Path) -> None:
    async with keeper(tmp_path, keep_days=1) as kept:
        for hour in range(6):
            kept.note(hour * 3600, 10 * hour, zero_ns=(hour * 3600 - 10) * SECOND_NS, incarnation=hour)
        await written(kept, 6)
        late_s = DAY_S + 4.5 * 3600
        for step, left in enumerate(([0, 1, 2, 3, 4, 5], [2, 3, 4, 5], [4, 5], [5], [5])):
            assert [round(at_s / 3600) for at_s, _, _ in await kept.begun() if at_s < DAY_S] == left
            kept.note(late_s + step, 60, incarnation=9, zero_ns=int((late_s - 5) * SECOND_NS))
            await reached(kept, late_s + step)


async def test_the_file_stays_within_its_bound(tmp_path: Path) -> None:
    async with keeper(tmp_path, file_bytes_max=100_000) as kept:
        for step in range(1, 1_501):
            await until(partial(kept.note, step * 10, step, zero_ns=0))
        await reached(kept, 15_000)
        await kept.history.close()
        assert kept.history.used_bytes <= 100_000
        begun = await kept.begun()
        assert begun[-1][0] == 15_000, "the newest stay"
        assert begun[0][0] > 3_600, "the oldest went"
        assert os.stat(tmp_path / FILE).st_size < 200_000


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: path.write_bytes(b"no database at all" * 300), id="something else"),
        pytest.param(lambda path: _schema(path, 99), id="a newer schema"),
    ],
)
async def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    harm(tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0)
        await written(kept, 1)
        assert await kept.begun() == [(10, 10, 100)]
        assert len(kept.aside) == 1
        assert (tmp_path / kept.aside[0]).read_bytes() == before


@pytest.mark.parametrize("mark", ["{", "[1]", "7", "[1, 2, 3, [1], [[[9999, 1]], [], []]]", "[1, 2, 3, [1], null, 7]"])
async def test_a_damaged_reading_is_left_out_and_its_slot_counts_anew(tmp_path: Path, mark: str) -> None:
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0)
        await written(kept, 1)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("UPDATE marks SET mark = ?", [mark])
    database.close()
    async with keeper(tmp_path) as kept:
        kept.note(20, 130)
        kept.note(30, 150)
        await written(kept, 2)
        assert await kept.begun() == [(10, 10, 100), (30, 10, 20)], "the reading at 20 s begins anew"
        assert kept.aside == []


def _schema(path: Path, number: int) -> None:
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {number}")
    database.close()


async def test_a_file_of_the_first_schema_is_continued(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0, work=(90, 4))
        await written(kept, 1)
        kept.note(20, 130, work=(110, 5))
        await written(kept, 2)
        assert [(row.useful, row.without_use) for row in await kept.rows()] == [(90, 4), (20, 1)]
    with sqlite3.connect(tmp_path / FILE) as database:
        for column in ("useful", "without_use"):
            database.execute(f"ALTER TABLE rows DROP COLUMN {column}")
        (mark,) = database.execute("SELECT mark FROM marks").fetchone()
        database.execute("UPDATE marks SET mark = ?", [orjson.dumps(orjson.loads(mark)[:5]).decode()])
    database.close()
    _schema(tmp_path / FILE, 1)
    async with keeper(tmp_path) as kept:
        kept.note(30, 150, work=(120, 5))
        await written(kept, 3)
        kept.note(40, 170, work=(135, 6))
        await written(kept, 4)
        assert kept.aside == []
        assert [(row.begun, row.useful, row.without_use) for row in await kept.rows()] == [
            (100, 0, 0),
            (30, 0, 0),
            (20, 0, 0),  # the last reading of the older release had no work
            (20, 15, 1),
        ]


async def test_damage_that_shows_while_it_runs_moves_the_file_aside_too(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        for step in range(1, 200):
            await until(partial(kept.note, step * 10, step, zero_ns=0))
        await written(kept, 199)
        assert kept.history._file is not None
        kept.history._file.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = (tmp_path / FILE).stat().st_size
        with (tmp_path / FILE).open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        with pytest.raises(HistoryUnavailable):
            await kept.rows()
        kept.note(2_000, 200)
        await until(lambda: bool(kept.aside))
        kept.note(2_010, 210)
        await written(kept, 2)
        assert await kept.begun() == [(2000, 10, 1), (2010, 10, 10)], "what was read last is still known"


class FullDisk(HistoryFile):
    """Takes nothing while it is full."""

    full = False

    def write(self, *arguments: Any) -> None:
        if FullDisk.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().write(*arguments)


async def test_a_full_disk_is_said_once_and_costs_rows_only_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "HistoryFile", FullDisk)
    monkeypatch.setattr(FullDisk, "full", False)
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0)
        await written(kept, 1)
        FullDisk.full = True
        kept.note(20, 150)
        await until(lambda: kept.history.dropped == 1)
        FullDisk.full = False
        kept.note(30, 160)
        await written(kept, 2)
        FullDisk.full = True
        for at_s in (40, 50, 60, 70):
            kept.note(at_s, at_s * 10)
        await until(lambda: kept.history.dropped == 5)
        FullDisk.full = False
        kept.note(80, 810)
        kept.note(90, 815)
        await written(kept, 3)
        assert await kept.begun() == [(10, 10, 100), (30, 20, 60), (90, 10, 5)]
        await until(lambda: len(kept.said) == 4)
        assert kept.said == ["OperationalError: database or disk is full", None] * 2


async def test_a_disk_that_hangs_costs_rows_and_delays_nobody(tmp_path: Path) -> None:
    async with keeper(tmp_path, queue_max=4) as kept:
        kept.note(10, 100, zero_ns=0)
        await written(kept, 1)
        lock = sqlite3.connect(tmp_path / FILE)
        lock.execute("BEGIN EXCLUSIVE")
        begun_s = asyncio.get_running_loop().time()
        taken = [kept.note(10 + step, 100 + step) for step in range(1, 21)]
        assert asyncio.get_running_loop().time() - begun_s < 0.5, (
            "the lock is waited for, a second each time, by the writer alone"
        )
        assert not all(taken)
        assert kept.history.dropped >= taken.count(False)
        lock.execute("ROLLBACK")
        lock.close()
        await until(lambda: kept.note(32, 200))
        await reached(kept, 32)
        await until(lambda: kept.said[-1] is None)
        begun = await kept.begun()
        assert sum(count for _, _, count in begun) <= 200, "nothing twice"


async def test_a_reading_that_cannot_be_had_is_503_and_says_why(tmp_path: Path) -> None:
    async with keeper(tmp_path) as kept:
        await written(kept, 0)
        answered = threading.Event()
        earlier = [
            asyncio.ensure_future(kept.history.read(lambda file: answered.wait(10)))
            for _ in range(histories.READERS_MAX)
        ]
        await asyncio.sleep(0)
        with pytest.raises(HistoryUnavailable, match="other reads are running") as refused:
            await kept.rows()
        assert refused.value.code == "history_unavailable"
        answered.set()
        assert await asyncio.gather(*earlier) == [True] * histories.READERS_MAX
    (tmp_path / FILE).unlink()
    with pytest.raises(HistoryUnavailable, match="unable to open"):
        await kept.rows()


async def test_a_folder_that_takes_no_file_is_said_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    async with keeper(tmp_path) as kept:
        kept.note(10, 100, zero_ns=0)
        await until(lambda: bool(kept.said))
        wrong = f"{FILE} is a directory where a file of this router belongs: move it away"
        assert kept.said == [f"{tmp_path / FILE}: {wrong}"]


def busy(step: int) -> Reading:
    """A version with 100 requests/s whose times spread over 40 buckets: what a row of a busy service weighs."""
    begun = step * 1000
    timed = tuple(begun * (60 - abs(bucket - 110)) // 1_500 if 80 < bucket < 125 else 0 for bucket in range(240))
    told = reading(step * 10, begun, zero_ns=0)
    nothing = (0,) * 240
    counters = (begun, begun, step, 0, 0, begun - step, 0, 0, step, *[0] * (len(OUTCOMES) - 4))
    return replace(told, counters=counters, histograms=(timed, timed, nothing))


async def test_a_busy_row_takes_a_few_hundred_bytes(tmp_path: Path) -> None:
    """The bound that README promises: a busy service with an idle standby stays below 150 MB in 30 days."""
    async with keeper(tmp_path) as kept:
        for step in range(1, 401):
            active, at_ns = busy(step), step * 10 * SECOND_NS
            standby = replace(reading(step * 10, 0, zero_ns=0), slot=1, version="v2", role="standby")
            told = replace(active, slot=-1, version="", role="service", histograms=None)
            readings = Readings("svc", 1, START_S + step * 10, at_ns, (active, standby, told))
            await until(partial(kept.history.submit, readings))
        await reached(kept, 4_000)
        await kept.history.close()
        a_step = kept.history.used_bytes / 400
        print(f"{a_step:.0f} bytes per ten seconds, {a_step * 259_200 / 1e6:.0f} MB in 30 days")
        assert a_step * 259_200 < 150e6
