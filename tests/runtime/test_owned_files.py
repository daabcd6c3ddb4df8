"""A foreign file in the place of a file of the router is neither opened nor changed."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from router.runtime import owned_files
from tests.texts import golden

PRECIOUS = b"precious"
Trap = Callable[[Path, Path], None]


def _socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


TRAPS: dict[str, Trap] = {
    "a symbolic link": lambda path, target: path.symlink_to(target),
    "a dangling link": lambda path, target: path.symlink_to(target.with_name("nothing")),
    "2 names": lambda path, target: path.hardlink_to(target),
    "a FIFO": lambda path, _: os.mkfifo(path),
    "a directory": lambda path, _: path.mkdir(),
    "a socket": _socket,
}
if os.geteuid() == 0:
    TRAPS["a device"] = lambda path, _: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))


def _foreign(path: Path, _: Path) -> None:
    path.write_bytes(PRECIOUS)
    os.chown(path, 4242, 4242)


if os.geteuid() == 0:
    TRAPS["belongs to uid 4242"] = _foreign


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    made = tmp_path / "elsewhere" / "target"
    made.write_bytes(PRECIOUS)
    made.chmod(0o644)
    return made


def message_of(trap: str) -> str:
    return "a symbolic link" if trap == "a dangling link" else trap


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC])
def test_a_trap_is_not_opened_and_nothing_behind_it_changes(
    tmp_path: Path, target: Path, trap: str, flags: int
) -> None:
    place = tmp_path / "file"
    TRAPS[trap](place, target)
    before = os.lstat(place)
    with pytest.raises(owned_files.NotOwned, match=f"file .*{message_of(trap)}.*: ") as caught:
        owned_files.opened(place, flags)
    assert caught.value.errno == errno.EPERM
    assert (os.lstat(place).st_mode, os.lstat(place).st_size) == (before.st_mode, before.st_size)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (PRECIOUS, 0o644)
    assert sorted(item.name for item in target.parent.iterdir()) == ["target"]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_a_trap_at_a_companion_of_a_database_is_found_before_sqlite_opens_it(
    tmp_path: Path, target: Path, trap: str, suffix: str
) -> None:
    TRAPS[trap](tmp_path / f"some.sqlite{suffix}", target)
    for look in (owned_files.database, owned_files.companions):
        with pytest.raises(owned_files.NotOwned, match=rf"some\.sqlite{suffix} .*{message_of(trap)}"):
            look(tmp_path / "some.sqlite")
    assert target.read_bytes() == PRECIOUS


def test_files_of_ours_are_opened(tmp_path: Path) -> None:
    place = tmp_path / "file"
    os.close(owned_files.opened(place, os.O_RDWR | os.O_CREAT))
    assert place.stat().st_mode & 0o777 == 0o600
    place.write_bytes(b"contents")
    assert owned_files.read(place, 100) == b"contents"
    assert owned_files.read(place, 3) == b"con"
    os.close(owned_files.opened(place, os.O_WRONLY | os.O_TRUNC))
    assert place.read_bytes() == b""
    with pytest.raises(FileNotFoundError):
        owned_files.read(tmp_path / "nothing", 1)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"db{suffix}").touch()
    owned_files.database(tmp_path / "db")
    owned_files.companions(tmp_path / "another")


def test_a_folder_is_ours_and_no_link(tmp_path: Path, target: Path) -> None:
    owned_files.folder(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    owned_files.folder(tmp_path / "new", make=False)
    with pytest.raises(FileNotFoundError):
        owned_files.folder(tmp_path / "nothing", make=False)
    (tmp_path / "link").symlink_to(target.parent)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("link", "dangling"):
        with pytest.raises(owned_files.NotOwned, match=f"{name} is a symbolic link"):
            owned_files.folder(tmp_path / name)
    (tmp_path / "new").chmod(0o770)
    with pytest.raises(owned_files.NotOwned, match=r"can be written by others \(mode 770\): chmod 700 "):
        owned_files.folder(tmp_path / "new")


def test_who_may_replace_a_directory_is_told(tmp_path: Path) -> None:
    place = tmp_path / "open" / "state"
    place.mkdir(parents=True)
    assert owned_files.exposed(place) is None
    (tmp_path / "open").chmod(0o1777)
    assert owned_files.exposed(place) is None, "as /tmp: only the owner renames"
    (tmp_path / "open").chmod(0o777)
    assert owned_files.exposed(place) == golden("state.open_parent", folder=tmp_path)
    (tmp_path / "link").symlink_to(place)
    assert owned_files.exposed(tmp_path / "link") == golden("state.open_parent", folder=tmp_path)


def test_a_file_system_that_gives_every_file_to_one_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS with all_squash, CIFS and 9p: a new file belongs to that user, too, and has the mode of the mount."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for place in (tmp_path / "folder", tmp_path / "file"):
        place.chmod(0o777)
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)  # so that every file, a new one too, is another user's
    os.close(owned_files.opened(tmp_path / "file", os.O_RDWR))
    previous = os.umask(0)
    try:
        with pytest.raises(owned_files.NotOwned, match="mode 777"):
            owned_files.folder(tmp_path / "folder")
        monkeypatch.setattr(owned_files, "_given_to_new_files", lambda _: owned_files._Given(real, keeps_modes=False))
        owned_files.folder(tmp_path / "folder")
        monkeypatch.setattr(
            owned_files, "_given_to_new_files", lambda _: owned_files._Given(real + 1, keeps_modes=True)
        )
        with pytest.raises(owned_files.NotOwned, match="belongs to"):
            owned_files.folder(tmp_path / "folder")
        with pytest.raises(owned_files.NotOwned, match="belongs to"):
            owned_files.check(tmp_path / "file")
    finally:
        os.umask(previous)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["file", "folder"]
