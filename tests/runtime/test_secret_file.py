"""A secret is written completely, is read by this router alone, and a file of another size is none."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from router.runtime import secret_file


def test_a_secret_is_what_was_created(tmp_path: Path) -> None:
    made = secret_file.create(tmp_path / "a.key", "a test")
    assert secret_file.read(tmp_path / "a.key") == made
    assert len(made) == secret_file.SECRET_BYTES
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_file_of_another_size_is_no_secret(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.key").write_bytes(content)
    with pytest.raises(ValueError, match=f"{len(content)} bytes"):
        secret_file.read(tmp_path / "a.key")


def test_a_mode_that_others_can_read_is_repaired(tmp_path: Path) -> None:
    secret_file.create(tmp_path / "a.key", "a test")
    (tmp_path / "a.key").chmod(0o644)
    secret_file.read(tmp_path / "a.key")
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    secret_file.replace_file(tmp_path / "a.json", b"1" * 100)
    (tmp_path / "a.new").write_bytes(b"left by a process that died")
    secret_file.replace_file(tmp_path / "a.json", b"2")
    assert (tmp_path / "a.json").read_bytes() == b"2"
    with pytest.raises(FileNotFoundError):
        secret_file.replace_file(tmp_path / "nowhere" / "a.json", b"3")


def test_a_disk_that_takes_a_part_changes_nothing(tmp_path: Path) -> None:
    """A limit of the file size acts like a disk that is nearly full: a write takes what fits, and only the next one fails."""
    secret_file.replace_file(tmp_path / "a.json", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            secret_file.replace_file(tmp_path / "a.json", b"1" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "a.json").read_bytes() == b"old"
