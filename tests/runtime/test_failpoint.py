from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from router.runtime.failpoint import FailPoint


@pytest.mark.parametrize(
    ("spec", "passed", "dies_at"),
    [
        pytest.param("", "store.before", None, id="unarmed"),
        pytest.param("store.before:3", "store.before", 3, id="the third time"),
        pytest.param("store.before", "store.before", 1, id="without a number: the first"),
        pytest.param("store.before:1", "store.after", None, id="another place"),
    ],
)
def test_kills_at_the_armed_place_and_turn(
    monkeypatch: pytest.MonkeyPatch, spec: str, passed: str, dies_at: int | None
) -> None:
    killed: list[tuple[int, int, int]] = []
    turn = 0
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((turn, pid, number)))
    point = FailPoint(spec)
    for turn in range(1, 6):  # noqa: B007  read by the fake kill
        point.hit(passed)
    assert killed == ([(dies_at, os.getpid(), signal.SIGKILL)] if dies_at else [])


def test_blocks_until_the_fifo_is_read_and_then_goes_on(tmp_path: Path) -> None:
    fifo = tmp_path / "disk"
    os.mkfifo(fifo)
    point = FailPoint(f"store.before:2:{fifo}")
    point.hit("store.before")
    thread = threading.Thread(target=point.hit, args=["store.before"], daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    os.close(os.open(fifo, os.O_RDONLY))
    thread.join(5)
    assert not thread.is_alive()
    point.hit("store.before")
