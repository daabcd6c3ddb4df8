"""The old router's side, step by step, against a supervisor that records the calls."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.runtime.failpoint import FailPoint
from router.supervisor.takeover import channel
from router.supervisor.takeover.old_router import (
    ASK_TIMEOUT_S,
    FINISH_TIMEOUT_S,
    SOCKET_NAME,
    TAKE_OVER_TIMEOUT_S,
    OldRouter,
)
from tests.texts import golden

ASK = {"say": "ask", "protocol": 1}


class FakeSupervisor:
    """An old supervisor. `status` is what its control ends with; `lock_is_free` whether it may take the lock back."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.why: str | None = None
        self.status: int | None = 0
        self.lock_is_free = True
        self.quiet = False

    def refusal(self) -> str | None:
        return self.why

    def offer(self, inlets: int) -> tuple[dict[str, Any], list[int]]:
        self.calls.append("offer")
        self.inlets = inlets
        return {"version": "9"}, [0, 1]

    def halt_control(self) -> None:
        self.calls.append("halt")

    def control_ended(self) -> int | None:
        return self.status

    def release(self) -> None:
        self.calls.append("release")

    def retake(self) -> bool:
        return self.lock_is_free

    def resume(self, *, from_journal: bool) -> None:
        self.calls.append(("resume", from_journal))

    def workers_drained(self) -> bool:
        return self.quiet

    def hand_over(self, successor: int) -> None:
        self.calls.append(("over", successor == os.getpid()))


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.old = FakeSupervisor()
        self.router = OldRouter(folder, self.old, FailPoint())
        self.now_ns = 0

    def connect(self) -> socket.socket:
        new = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        new.connect(str(self.folder / SOCKET_NAME))
        new.settimeout(5)
        return new

    def tick(self, later_s: float = 0.0) -> None:
        self.now_ns += round(later_s * 1e9)
        self.router.tick(self.now_ns)

    def up_to(self, step: str) -> socket.socket:
        """Return the connection of a new router that has reached `step`."""
        new = self.connect()
        channel.send(new, ASK)
        self.tick()
        got = channel.receive(new)
        assert got is not None
        for descriptor in got[1]:
            os.close(descriptor)
        if step == "offered":
            return new
        channel.send(new, {"say": "ready"})
        self.old.status = 0 if step == "released" else None
        self.tick()
        if step == "released":
            assert channel.receive(new) == ({"say": "released"}, [])
        return new


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.router.close()


def next_message(new: socket.socket) -> dict[str, Any] | None:
    got = channel.receive(new)
    return got[0] if got else None


def test_everything_goes_over_in_order(rig: Rig) -> None:
    assert (rig.folder / SOCKET_NAME).stat().st_mode & 0o777 == 0o600
    with rig.connect() as new:
        channel.send(new, ASK)
        rig.tick()
        got = channel.receive(new)
        assert got is not None
        assert (got[0], len(got[1])) == ({"say": "offer", "pid": os.getpid(), "version": "9"}, 2)
        for descriptor in got[1]:
            os.close(descriptor)
        rig.old.status = None
        channel.send(new, {"say": "ready"})
        rig.tick()
        rig.tick()
        assert rig.old.calls == ["offer", "halt"], "the lock is ours until control is gone"
        rig.old.status = 0
        rig.tick()
        assert next_message(new) == {"say": "released"}
        channel.send(new, {"say": "serving"})
        rig.tick()
        assert rig.old.calls == ["offer", "halt", "release", ("over", True)]
        new.setblocking(False)
        with pytest.raises(BlockingIOError):  # our workers may still claim by our route
            next_message(new)
        rig.old.quiet = True
        rig.tick()
        assert next_message(new) == {"say": "yours"}
    rig.router.close()
    assert (rig.folder / SOCKET_NAME).exists(), "it may be the successor's already"


@pytest.mark.parametrize(
    ("step", "noted"),
    [
        ("offered", ["offer", ("resume", False)]),
        ("halting", ["offer", "halt", ("resume", False)]),
        ("released", ["offer", "halt", "release", ("resume", True)]),
    ],
)
def test_a_new_router_that_dies_is_forgotten(rig: Rig, step: str, noted: list[Any]) -> None:
    rig.up_to(step).close()
    rig.tick()
    rig.old.status = 0
    rig.tick()
    assert rig.old.calls == noted
    rig.up_to("offered").close()  # and another may come


def test_an_idle_client_holds_the_new_router_up_for_a_while_only(rig: Rig) -> None:
    with rig.up_to("released") as new:
        channel.send(new, {"say": "serving"})
        rig.tick()
        rig.tick(FINISH_TIMEOUT_S + 1)
        assert next_message(new) == {"say": "yours"}


def test_the_lock_is_waited_for(rig: Rig) -> None:
    rig.old.lock_is_free = False
    rig.up_to("released").close()
    for _ in range(3):
        rig.tick()
    assert ("resume", True) not in rig.old.calls, "the new control may still write"
    rig.old.lock_is_free = True
    rig.tick()
    assert rig.old.calls[-1] == ("resume", True)


@pytest.mark.parametrize("status", [11, -9, 10])
def test_a_control_that_leaves_something_unwritten_ends_it(rig: Rig, status: int) -> None:
    with rig.up_to("halting") as new:
        rig.old.status = status
        rig.tick()
        assert (next_message(new) or {})["say"] == "refused"
    assert rig.old.calls == ["offer", "halt", ("resume", False)]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"hello", None),
        (b'{"say":"serving"}', "'serving' is not the message of this step"),
        (b'{"say":"ask","protocol":2}', "'ask' is not the message of this step"),
    ],
)
def test_who_says_something_else_is_sent_away(rig: Rig, raw: bytes, why: str | None) -> None:
    with rig.connect() as new:
        new.send(raw)
        rig.tick()
        assert next_message(new) == ({"say": "refused", "why": why} if why else None)
    assert rig.old.calls == []
    rig.up_to("offered").close()


def test_who_says_nothing_is_sent_away(rig: Rig) -> None:
    with rig.connect() as new:
        rig.tick()
        rig.tick(ASK_TIMEOUT_S + 1)
        assert (next_message(new) or {})["say"] == "refused"
    with rig.up_to("offered") as new:
        rig.tick(TAKE_OVER_TIMEOUT_S + 1)
        assert (next_message(new) or {})["why"] == golden("takeover.stuck")
    assert rig.old.calls == ["offer", ("resume", False)]


def test_only_one_at_a_time_and_only_the_same_user(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with rig.up_to("offered"), rig.connect() as second:
        rig.tick()
        assert next_message(second) == {"say": "refused", "why": golden("takeover.another")}
    rig.tick()
    monkeypatch.setattr(channel, "peer", lambda sock: (1, 4711))
    with rig.connect() as other:
        channel.send(other, ASK)
        rig.tick()
        assert next_message(other) == {"say": "refused", "why": f"user 4711 is not user {os.getuid()}"}
    assert rig.old.calls == ["offer", ("resume", False)]


def test_a_router_that_stops_hands_nothing_over(rig: Rig) -> None:
    rig.old.why = "it is being stopped"
    with rig.connect() as new:
        channel.send(new, ASK)
        rig.tick()
        assert next_message(new) == {"say": "refused", "why": "it is being stopped"}
    rig.old.why = None
    with rig.up_to("released") as new:
        rig.router.abort("it is being stopped")
        assert next_message(new) == {"say": "refused", "why": "it is being stopped"}


def test_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    handover = OldRouter(folder, FakeSupervisor(), FailPoint())
    assert (folder / SOCKET_NAME).is_socket()
    handover.close()
    assert not (folder / SOCKET_NAME).exists()
