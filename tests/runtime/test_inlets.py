"""The names under which the workers of the old router find a router that takes over."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from router.runtime import inlets
from router.runtime.inlets import Inlets
from tests.texts import golden


def test_names_come_late_are_ours_alone_and_stale_ones_go(tmp_path: Path) -> None:
    (tmp_path / "inlet-0000000000000001-0").touch()
    inlet_set = Inlets(tmp_path, 2)
    assert inlets.outlets(tmp_path, inlet_set.token) == []
    inlet_set.open()
    inlet_set.open()
    names = sorted(path.name for path in tmp_path.glob("inlet-*"))
    assert names == [f"inlet-{inlet_set.token:016x}-{index}" for index in range(2)]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("inlet-*")} == {0o600}
    found = inlets.outlets(tmp_path, inlet_set.token)
    assert len(found) == 2
    for sock in found:
        sock.close()
    inlet_set.close()
    assert list(tmp_path.glob("inlet-*")) == []


def test_a_folder_that_takes_no_name_is_said_and_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inlet_set = Inlets(tmp_path / "gone", 1)
    with caplog.at_level(logging.WARNING):
        inlet_set.open()
    assert golden("takeover.connections_stay") in caplog.text
    assert inlets.outlets(tmp_path / "gone", inlet_set.token) == []
    inlet_set.close()


def test_a_path_longer_than_that_of_a_unix_socket_will_do(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200)
    deep.mkdir()
    inlet_set = Inlets(deep, 1)
    inlet_set.open()
    (found,) = inlets.outlets(deep, inlet_set.token)
    found.send(b"x")
    assert inlet_set.sockets[0].recv(1) == b"x"
    found.close()
    inlet_set.close()
