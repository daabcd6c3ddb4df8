"""Control beats while its start makes progress, and not for long while it waits for a disk that hangs."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.control import start_heartbeat
from router.control.start_heartbeat import StartHeartbeat
from tests.waiting import until


class Start:
    """Counts heartbeats; CPU time and bytes are what the test sets."""

    def __init__(self) -> None:
        self.beats = 0
        self.turns = 0
        self.cpu_s = 0.0
        self.bytes_read = 0
        self.cpu_per_turn_s = 0.0

    def beat(self) -> None:
        self.beats += 1

    def used_s(self) -> float:
        self.turns += 1
        self.cpu_s += self.cpu_per_turn_s
        return self.cpu_s

    def heartbeat(self, pause_s_max: float = 0.0) -> StartHeartbeat:
        return StartHeartbeat(self.beat, 0.001, pause_s_max, self.used_s, lambda: self.bytes_read)


async def test_it_beats_while_there_is_progress_and_ends_with_the_start() -> None:
    start = Start()
    start.cpu_per_turn_s = 0.01
    with start.heartbeat(pause_s_max=30.0):
        await until(lambda: start.beats >= 5)
    beats = start.beats
    turns = start.turns
    assert (start.beats, start.turns) == (beats, turns)


async def test_a_disk_that_hangs_ends_the_heartbeats_and_each_progress_begins_them_again() -> None:
    start = Start()
    with start.heartbeat(pause_s_max=0.02):
        await until(lambda: start.turns > 3)
        silent = await _silent(start)
        for progress in ("cpu_s", "bytes_read"):
            setattr(start, progress, 1)
            await until(lambda seen=silent: start.beats > seen)  # type: ignore[misc]
            silent = await _silent(start)


async def _silent(start: Start) -> int:
    """Return the number of heartbeats once there have been none for 40 turns."""
    while True:
        beats, turns = start.beats, start.turns
        await until(lambda turns=turns: start.turns > turns + 40)  # type: ignore[misc]
        if start.beats == beats:
            return beats


async def test_a_start_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_heartbeat, "START_S_MAX", 0.0)
    start = Start()
    heartbeat = start.heartbeat(30.0)
    with heartbeat:
        await until(lambda: not heartbeat.alive)
    assert start.beats == 0


async def test_after_a_failure_it_beats_to_the_end_of_the_process() -> None:
    start = Start()
    heartbeat = start.heartbeat(30.0)
    with pytest.raises(ValueError, match="no journal"), heartbeat:
        raise ValueError("no journal")
    assert heartbeat.alive
    await until(lambda: start.beats >= 3)
    heartbeat.end()
    assert not heartbeat.alive


async def test_the_progress_of_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    beats: list[int] = []
    with StartHeartbeat(lambda: beats.append(1), 0.001, 30.0):
        await until(lambda: sum(range(10_000)) and len(beats) > 3)
    monkeypatch.setattr(start_heartbeat, "_IO", tmp_path / "none")
    with StartHeartbeat(lambda: beats.clear(), 0.001, 30.0):
        await until(lambda: not beats)
