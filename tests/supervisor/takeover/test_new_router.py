"""The new router's side, against a scripted old router."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.errors import StartError
from router.runtime.exit_codes import exit_code
from router.runtime.failpoint import FailPoint
from router.supervisor.takeover import channel
from router.supervisor.takeover.new_router import NewRouter
from router.supervisor.takeover.old_router import SOCKET_NAME, TAKE_OVER_TIMEOUT_S
from tests.texts import golden


class FakeSupervisor:
    """A new supervisor; `has` names the steps that it has done."""

    def __init__(self) -> None:
        self.has: set[str] = set()
        self.owns = False

    def control_ready(self) -> bool:
        return "loaded" in self.has

    def lock(self) -> bool:
        return "lock" in self.has

    def serving(self) -> bool:
        return "serving" in self.has

    def open_inlets(self) -> None:
        self.has.add("inlets")

    def take_ownership(self) -> None:
        self.owns = True


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.new = FakeSupervisor()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(folder / SOCKET_NAME))
        self._socket.listen(1)

    def begin(self, answer: dict[str, object], descriptors: int = 2) -> NewRouter:
        """Return a new router whose request gets this answer."""

        def serve() -> None:
            self.old = self._socket.accept()[0]
            self.old.settimeout(5)
            assert channel.receive(self.old) == ({"say": "ask", "protocol": 1, "inlets": 7}, [])
            given = [socket.socket() for _ in range(descriptors)]
            channel.send(self.old, answer, [sock.fileno() for sock in given])
            for sock in given:
                sock.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return NewRouter(self.folder, FailPoint(), 7)
        finally:
            thread.join()

    def next_message(self) -> str:
        got = channel.receive(self.old)
        assert got is not None
        return str(got[0]["say"])

    def close(self) -> None:
        self.old.close()
        self._socket.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def start_ns(taking: NewRouter) -> int:
    return taking._requested_ns


def end(taking: NewRouter) -> None:
    taking.close()
    for sock in taking.sockets:
        sock.close()


def test_everything_comes_over_in_order(rig: Rig) -> None:
    taking, new = rig.begin({"say": "offer", "pid": 4}), rig.new
    now_ns = start_ns(taking)
    assert len(taking.sockets) == 2
    taking.tick(new, now_ns)
    new.has = {"loaded"}
    taking.tick(new, now_ns)
    assert rig.next_message() == "ready"
    new.has.add("serving")
    taking.tick(new, now_ns)
    channel.send(rig.old, {"say": "released"})
    taking.tick(new, now_ns)
    new.has.add("lock")
    taking.tick(new, now_ns)
    taking.tick(new, now_ns)
    assert (rig.next_message(), new.owns) == ("serving", False)
    channel.send(rig.old, {"say": "yours"})
    taking.tick(new, now_ns)
    assert (new.owns, taking.done) == (True, True)
    end(taking)


@pytest.mark.parametrize("step", ["offered", "ready", "released", "serving"])
def test_an_old_router_that_dies_is_replaced_all_the_same(rig: Rig, step: str) -> None:
    taking, new = rig.begin({"say": "offer", "pid": 4}), rig.new
    now_ns = start_ns(taking)
    new.has = {"loaded", "lock", "serving"} if step != "offered" else set()
    if step != "offered":
        taking.tick(new, now_ns)
    if step in ("released", "serving"):
        channel.send(rig.old, {"say": "released"})
        taking.tick(new, now_ns)
    if step == "serving":
        taking.tick(new, now_ns)
    rig.old.close()
    new.has = {"loaded", "lock", "serving"}
    for _ in range(5):
        if not taking.done:
            taking.tick(new, now_ns)
    assert new.owns
    end(taking)


def test_a_refusal_later_on(rig: Rig) -> None:
    taking = rig.begin({"say": "offer", "pid": 4})
    channel.send(rig.old, {"say": "refused", "why": "it is being stopped"})
    with pytest.raises(StartError, match="goes on: it is being stopped") as caught:
        taking.tick(rig.new, start_ns(taking))
    assert exit_code(caught.value) == 5
    end(taking)


def test_a_step_that_takes_too_long(rig: Rig) -> None:
    taking = rig.begin({"say": "offer", "pid": 4})
    with pytest.raises(StartError, match="step offered took more than 30 s"):
        taking.tick(rig.new, start_ns(taking) + round((TAKE_OVER_TIMEOUT_S + 1) * 1e9))
    end(taking)


@pytest.mark.parametrize(
    ("answer", "descriptors", "why"),
    [
        ({"say": "refused", "why": "another take-over is under way"}, 0, "another take-over is under way"),
        ({"say": "offer"}, 1, "it hung up"),
    ],
)
def test_a_refusal_at_once(rig: Rig, answer: dict[str, object], descriptors: int, why: str) -> None:
    with pytest.raises(StartError) as caught:
        rig.begin(answer, descriptors)
    assert caught.value.detail == golden("takeover.failed", why=why)


def test_nobody_to_take_over_from(tmp_path: Path) -> None:
    with pytest.raises(StartError) as caught:
        NewRouter(tmp_path, FailPoint())
    assert (exit_code(caught.value), caught.value.detail) == (
        5,
        golden("takeover.nothing_there", folder=tmp_path),
    )


def test_a_foreign_router_is_not_asked(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "peer", lambda sock: (1, os.getuid() + 1))
    taken = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    rig.old = taken
    with pytest.raises(StartError, match="it runs as another user"):
        NewRouter(rig.folder, FailPoint())
