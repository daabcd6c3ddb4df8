from __future__ import annotations

import errno
import fcntl
import os

import pytest

from router.errors import InternalError
from router.shm import sealed


def test_memory_of_a_size_is_written_by_all_and_cut_by_nobody() -> None:
    fd = sealed.of_size("memory", 4096)
    assert os.pwrite(fd, b"x", 4095) == 1
    for size in (0, 4095, 4097):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 4096)
    sealed.check(fd, sealed.SIZE, "memory")
    with pytest.raises(InternalError, match=f"descriptor {fd} of the memory has seals 0x7, and needs 0xf"):
        sealed.check(fd, sealed.CONTENTS, "memory")
    os.close(fd)


def test_no_seal_is_added_later() -> None:
    for fd in (sealed.of_size("memory", 1), sealed.holding("memory", b"contents")):
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_memory_that_cannot_be_filled_leaves_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):
        sealed.of_size("memory", -1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pipe_has_no_seals() -> None:
    read, write = os.pipe()
    with pytest.raises(InternalError, match="has seals 0x0"):
        sealed.check(read, sealed.SIZE, "memory")
    os.close(read)
    os.close(write)


def test_a_kernel_that_gives_only_memory_that_cannot_be_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = os.memfd_create, []

    def strict(name: str, flags: int) -> int:
        asked.append(flags)
        if not flags & 0x8:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, flags & ~0x8)

    monkeypatch.setattr(os, "memfd_create", strict)
    fd = sealed.of_size("memory", 4096)
    assert os.fstat(fd).st_size == 4096
    os.close(fd)
    assert len(asked) == 2


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.ENOMEM, errno.EMFILE])
def test_memory_that_is_refused_is_named(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refused(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "memfd_create", refused)
    with pytest.raises(InternalError, match="memfd_create") as caught:
        sealed.holding("memory", b"x")
    assert caught.value.code == "memory_refused"
    assert ("seccomp" in caught.value.detail) is (number in (errno.EPERM, errno.ENOSYS))
