from __future__ import annotations

from pathlib import Path

import pytest

from router.control.store.header_files import HeaderFiles
from router.errors import Refusal

SECRET = "sk-0123456789"


def test_a_file_is_read_once_and_again_when_it_is_asked_for(tmp_path: Path) -> None:
    file, files = tmp_path / "key", HeaderFiles()
    file.write_text(f"Authorization: Bearer {SECRET}\n")
    assert files.fields(None) == ()
    assert files.fields(str(file)) == (("Authorization", f"Bearer {SECRET}"),)
    file.write_text("Authorization: Bearer new\n")
    assert files.fields(str(file)) == (("Authorization", f"Bearer {SECRET}"),)
    assert files.reload() == {}
    assert files.fields(str(file)) == (("Authorization", "Bearer new"),)


def test_a_file_that_became_unusable_keeps_its_last_fields(tmp_path: Path) -> None:
    file, files = tmp_path / "key", HeaderFiles()
    file.write_text("A: b")
    files.load(str(file))
    file.write_text(f"nonsense {SECRET}")
    [detail] = files.reload().values()
    assert str(file) in detail
    assert "line 1" in detail
    assert SECRET not in detail
    assert files.fields(str(file)) == (("A", "b"),)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"\xff", "not UTF-8"),
        ("A: ö".encode(), "no ASCII"),
        (b"A: b\0", "NUL"),
        ("A: b".encode("utf-16"), "UTF-16"),
        (b"A: b\x07c", "line 1 is no header field"),
        (b"A: " + b"b" * 5000, "4096"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Refusal, match=why) as caught:
        HeaderFiles().fields(str(file))
    assert caught.value.code == "headers_file_unusable"
    assert str(file) in caught.value.detail
