"""Listening Unix sockets: the owner of a path, when it is in use and when it is removed."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest

from router.errors import StartError
from router.runtime.exit_codes import exit_code
from router.settings.sections.address import Address
from router.supervisor.sockets import AdminSocket, DataSockets
from router.supervisor.unix_socket import check_free, identity, remove
from tests.texts import golden


def refusal(address: Address) -> StartError:
    with pytest.raises(StartError) as caught:
        check_free(address, "listen")
    assert exit_code(caught.value) == 4
    return caught.value


def at(folder: Path, name: str = "data.sock") -> Address:
    return Address.model_validate(f"unix:{folder / name}")


def test_a_unix_socket_is_one_for_all_workers_and_goes_with_its_owner(tmp_path: Path) -> None:
    data = DataSockets(at(tmp_path), 3, mode="0620")
    path = tmp_path / "data.sock"
    assert [data.of_worker(index, 3) for index in range(3)] == [data.sockets] * 3
    assert (len(data.sockets), data.address, path.stat().st_mode & 0o777) == (1, at(tmp_path), 0o620)
    with socket.socket(socket.AF_UNIX) as early, pytest.raises(ConnectionRefusedError):
        early.connect(str(path))
    data.listen()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    data.close()
    assert not path.exists()


def test_a_stale_path_is_taken_and_a_live_one_is_in_use(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "data.sock"))
    data = DataSockets(at(tmp_path), 1)
    data.listen()
    assert refusal(at(tmp_path)).detail == (golden("listen.unix_in_use", folder=tmp_path))
    with pytest.raises(StartError, match="port_in_use"):
        AdminSocket(at(tmp_path))
    data.close()


def test_a_full_queue_has_an_owner(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waits:
        busy.bind(str(tmp_path / "data.sock"))
        busy.listen(0)
        waits.connect(str(tmp_path / "data.sock"))
        assert refusal(at(tmp_path)).code == "port_in_use"


def test_of_two_that_bind_one_path_at_once_the_second_listens(tmp_path: Path) -> None:
    first = DataSockets(at(tmp_path), 1)
    second = DataSockets(at(tmp_path), 1)  # nobody answers yet: it looks stale
    with pytest.raises(StartError, match="port_in_use"):
        first.listen()
    first.close()
    assert (tmp_path / "data.sock").exists(), "the loser leaves the path alone"
    second.listen()
    second.close()


def test_what_is_no_socket_stays(tmp_path: Path) -> None:
    (tmp_path / "data.sock").write_text("precious")
    assert refusal(at(tmp_path)).detail == (golden("listen.no_socket", folder=tmp_path))
    assert (tmp_path / "data.sock").read_text() == "precious"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StartError) as caught:
        AdminSocket(at(tmp_path, "no/admin.sock"))
    assert caught.value.detail == (golden("listen.no_folder", folder=tmp_path))


def test_the_admin_path_goes_too(tmp_path: Path) -> None:
    with closing(AdminSocket(at(tmp_path, "admin.sock"))):
        assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "admin.sock").exists()


def test_a_path_that_was_handed_over_stays(tmp_path: Path) -> None:
    data, admin = DataSockets(at(tmp_path), 1), AdminSocket(at(tmp_path, "admin.sock"))
    taken = (DataSockets.adopted([data.sockets[0].dup()], 2), AdminSocket.adopted(admin.sock.dup()))
    for sock in (data, admin):
        sock.disown()
        sock.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["admin.sock", "data.sock"]
    for adopted in taken:
        adopted.own()
        adopted.close()
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_removed_is_told_and_ends_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "data.sock")
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.bind(path)

        def refuse(_: str) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("os.unlink", refuse)
        remove(path, identity(path))
    assert caplog.messages == [f"{path} stays behind: Permission denied"]
