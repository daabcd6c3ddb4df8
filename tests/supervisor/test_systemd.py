from __future__ import annotations

import socket
from pathlib import Path

import pytest

from router.supervisor.systemd import Notifier


def test_sends_datagrams_to_a_path_or_an_abstract_name(tmp_path: Path) -> None:
    for bound, address in ((str(tmp_path / "notify"), str(tmp_path / "notify")), (f"\0{tmp_path}", f"@{tmp_path}")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            Notifier(address).send("READY=1", "STATUS=serving")
            assert manager.recv(100) == b"READY=1\nSTATUS=serving"


def test_nobody_asked_or_nobody_listens(tmp_path: Path) -> None:
    Notifier(None).send("READY=1")
    Notifier(str(tmp_path / "gone")).send("READY=1")


@pytest.mark.parametrize(
    ("address", "watchdog_s", "every_s"),
    [("/n", 10.0, 5.0), ("/n", None, None), (None, 10.0, None), (None, None, None)],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_bites(
    address: str | None, watchdog_s: float | None, every_s: float | None
) -> None:
    assert Notifier(address, watchdog_s).watchdog_every_s == every_s
