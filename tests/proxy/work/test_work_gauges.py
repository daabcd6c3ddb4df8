"""What is open in a work bucket, and since when."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from router.proxy.work.work_gauges import WorkGauges
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, until

NOW_S = 1000.0
NAMES = ("in_progress", "waiting", "waiting_long", "overdue", "oldest_wait_ns", "moving", "last_moved_ns")


@dataclass
class Watch:
    events: bool = True
    content: bool = False

    def moves(self) -> bool:
        return self.content


@dataclass
class GaugedAttempt:
    work_row: int = at.L_WORK + 3 * at.WORK_WORDS
    open: bool = True
    sent_s: float = NOW_S - 5.0
    watch: Any = None


@dataclass
class GaugedExchange:
    attempt: GaugedAttempt = field(default_factory=GaugedAttempt)
    status: int = 0
    moved: bool = False
    last_byte_s: float = 0.0
    paused_at_s: float = 0.0


def gauges(*exchanges: GaugedExchange, overdue_us: int = 0) -> dict[str, int]:
    words = memoryview(bytearray(at.WORKER_SLOT_WORDS * 8)).cast("Q")
    WorkGauges(words, 0).write(exchanges, [overdue_us] * 16, 2.0, NOW_S)
    row = at.L_WORK + 3 * at.WORK_WORDS
    return {name: value for name in NAMES if (value := words[row + getattr(at, f"B_{name.upper()}")])}


WAIT = {"waiting": 1, "waiting_long": 1, "oldest_wait_ns": int((NOW_S - 5) * 1e9)}
MOVED = {"moving": 1, "last_moved_ns": int((NOW_S - 1) * 1e9)}


@pytest.mark.parametrize(
    ("exchange", "found"),
    [
        (GaugedExchange(), WAIT),
        (GaugedExchange(GaugedAttempt(sent_s=0.0)), {}),  # still being uploaded
        (GaugedExchange(status=200, last_byte_s=NOW_S - 1), WAIT),  # a head is no work
        (GaugedExchange(status=200, moved=True, last_byte_s=NOW_S - 1), {"in_progress": 1} | MOVED),
        (GaugedExchange(status=200, moved=True, last_byte_s=NOW_S - 3), {"in_progress": 1}),
        (
            GaugedExchange(status=200, moved=True, last_byte_s=NOW_S - 1, paused_at_s=NOW_S - 1),
            {"in_progress": 1} | MOVED,
        ),
        (GaugedExchange(status=500, moved=True, last_byte_s=NOW_S - 1), WAIT),
        (GaugedExchange(GaugedAttempt(watch=Watch()), 200, True, NOW_S - 1), WAIT),  # an event stream without content
        (GaugedExchange(GaugedAttempt(open=False, watch=Watch(content=True)), 200, True, NOW_S - 1), MOVED),
        (GaugedExchange(GaugedAttempt(open=False, watch=Watch(content=True)), 200, True, NOW_S - 3), {}),
        (
            GaugedExchange(GaugedAttempt(open=False, watch=Watch(events=False)), 200, True, NOW_S - 1),
            MOVED,
        ),  # JSON lines
        (GaugedExchange(GaugedAttempt(open=False), 101), {}),  # a tunnel
    ],
)
def test_gauges(exchange: GaugedExchange, found: dict[str, int]) -> None:
    assert gauges(exchange) == found


def test_waits_are_overdue_beyond_the_limit_of_the_bucket() -> None:
    late, later = GaugedExchange(), GaugedExchange(GaugedAttempt(sent_s=NOW_S - 9))
    assert gauges(late, later, overdue_us=8_000_000)["overdue"] == 1
    assert gauges(late, later)["oldest_wait_ns"] == int((NOW_S - 9) * 1e9)


def test_gauges_return_to_zero_but_the_time_of_the_last_movement_stays() -> None:
    words = memoryview(bytearray(at.WORKER_SLOT_WORDS * 8)).cast("Q")
    writer = WorkGauges(words, 0)
    writer.write([GaugedExchange(status=200, moved=True, last_byte_s=NOW_S)], [0] * 16, 2.0, NOW_S)
    assert writer.shown == {3}
    writer.write([], [0] * 16, 2.0, NOW_S + 1)
    row = at.L_WORK + 3 * at.WORK_WORDS
    assert (writer.shown, words[row + at.B_IN_PROGRESS], words[row + at.B_LAST_MOVED_NS]) == (
        set(),
        0,
        int(NOW_S * 1e9),
    )


async def test_the_sweep_writes_them_and_clears_them() -> None:
    async with Backend(backends.never()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"POST /predict HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}")
        waiting = rig.segment.layout.worker_slot(0, 0, 0) + at.L_WORK + 14 * at.WORK_WORDS + at.B_WAITING
        await until(lambda: rig.segment.words[waiting] == 1)
        client.reset()
        await until(lambda: rig.segment.words[waiting] == 0)
