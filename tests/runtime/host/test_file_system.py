"""A file system that lacks an operation of the journal is named with type, mount point and remedy."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.runtime.host import file_system, mounts
from router.runtime.host.file_system import FileSystemUnfit, check, is_busy

Refuse = Callable[[Any, str, int], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Make an operation fail with an error number, as a file system does that does not support it."""

    def install(place: Any, name: str, number: int) -> None:
        def failing(*_: object, **__: object) -> object:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(place, name, failing)

    return install


def test_a_good_directory_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    check(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.EIO]
)
@pytest.mark.parametrize(
    ("place", "name", "operation"),
    [
        (fcntl, "flock", "lock files (flock)"),
        (fcntl, "lockf", "lock files (fcntl)"),
        (mmap, "mmap", "map files (mmap)"),
        (os, "fsync", "sync files (fsync)"),
        (os, "rename", "rename files"),
        (os, "pwrite", "write files"),
    ],
)
def test_a_missing_operation_is_named(
    tmp_path: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, operation: str, number: int
) -> None:
    monkeypatch.setattr(mounts, "of", lambda _: mounts.Mount("/data", "fuse.s3fs", "s3fs"))
    refuse(place, name, number)
    with pytest.raises(FileSystemUnfit) as caught:
        check(tmp_path)
    text = caught.value.strerror
    assert text.startswith(f"fuse.s3fs at /data cannot {operation}: {os.strerror(number)}: ")
    assert "volume" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "virtiofs", "fuse.s3fs"])
def test_every_type_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(mounts, "of", lambda _: mounts.Mount("/data", kind))
    error = file_system.unfit(tmp_path, "lock files (flock)", OSError(errno.ENOLCK, "x"))
    assert f"{kind} at /data cannot lock" in error.strerror
    assert "block volume" in error.strerror


def test_full_and_read_only_are_no_missing_operation(tmp_path: Path, refuse: Refuse) -> None:
    refuse(os, "pwrite", errno.ENOSPC)
    with pytest.raises(FileSystemUnfit, match=r"is full .*make room"):
        check(tmp_path)
    assert "read-only" in file_system.unfit(tmp_path, "write files", OSError(errno.EROFS, "x")).strerror


def test_a_lock_of_another_is_no_missing_operation() -> None:
    assert is_busy(BlockingIOError(errno.EWOULDBLOCK, "x"))
    assert is_busy(OSError(errno.EACCES, "x"))
    assert not any(
        is_busy(OSError(number, "x")) for number in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
    )


def test_the_holder_of_a_lock_is_found(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert file_system.locked_by(file) is None
    file.write_bytes(b"x")
    assert file_system.locked_by(file) is None
    ready, go_on = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = os.open(file, os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, 0x40000000)
        os.write(ready[1], b"x")
        os.read(go_on[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        assert file_system.locked_by(file) == pid
    finally:
        os.write(go_on[1], b"x")
        os.waitpid(pid, 0)
    assert file_system.locked_by(file) is None
