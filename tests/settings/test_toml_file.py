"""The settings file: every editor's UTF-8 is read, everything else is named with the remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from router.errors import StartError
from router.settings.loader import load
from router.settings.toml_file import FILE_BYTES_MAX, read

TEXT = '[services.a]\nhosts = ["a"]\n'


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_and_line_ends_of_windows(tmp_path: Path, encoding: str, newline: str) -> None:
    file = tmp_path / "router.toml"
    file.write_bytes(TEXT.replace("\n", newline).encode(encoding))
    assert load(file).services["a"].hosts == ["a"]


@pytest.mark.parametrize("raw", [b"", b"\xef\xbb\xbf", b"\n", b"\r\n# x"])
def test_an_empty_file_gives_the_defaults(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "router.toml"
    file.write_bytes(raw)
    assert read(file) == {}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (TEXT.encode("utf-16"), "UTF-16, not UTF-8: save it as UTF-8"),
        (TEXT.encode("utf-16-le"), "UTF-16"),
        (TEXT.encode("utf-32"), "UTF-32"),
        ("a = 'é'".encode("latin-1"), "not UTF-8 (at line 1, byte 6)"),
        (b"a = 1\nb = \0", "NUL (at line 2, byte 5)"),
        (b"a = 1\rb = 2", "router.toml:1:6: "),
        (b"a = " + b"[" * 100_000, ""),
        (b"#" * (FILE_BYTES_MAX + 1), "more than"),
    ],
    ids=["UTF-16", "UTF-16 without mark", "UTF-32", "Latin-1", "NUL", "CR", "nested", "long"],
)
def test_what_is_no_toml_is_named(tmp_path: Path, raw: bytes, message: str) -> None:
    file = tmp_path / "router.toml"
    file.write_bytes(raw)
    with pytest.raises(StartError) as caught:
        read(file)
    assert (caught.value.code, message in caught.value.detail) == ("settings_invalid", True), caught.value.detail
    assert caught.value.detail.startswith(f"{file}:")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name, kind in (
        (".", "a directory"),
        ("fifo", "a FIFO"),
        ("dangling", "does not exist"),
        ("fifo/x", "does not"),
    ):
        with pytest.raises(StartError, match=kind) as caught:
            read(tmp_path / name)
        assert caught.value.code == "settings_missing"


def test_a_file_that_cannot_be_read_names_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "router.toml").write_text(TEXT)

    def refused(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(StartError, match=f"Permission denied: .* uid {os.geteuid()}"):
        read(tmp_path / "router.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listen = “127.0.0.1:80”\n", "U+201C (LEFT DOUBLE QUOTATION MARK)"),
        ("\u00a0listen = '127.0.0.1:80'\n", "U+00A0 (NO-BREAK SPACE)"),
        ("listen = '127.0.0.1:80'\n\ufeffworkers = 1\n", "U+FEFF (ZERO WIDTH NO-BREAK SPACE)"),
        ("workers\u200b = 1\n", "U+200B (ZERO WIDTH SPACE)"),
        ("workers = \uff11\n", "U+FF11 (FULLWIDTH DIGIT ONE)"),
        ('{"listen": "127.0.0.1:80"}', "JSON"),
        ("listen: 127.0.0.1:80\n", "YAML"),
        ("a = {\n b = 1 }\n", "on one line"),
        ("a = { b = 1, }\n", "without a comma at its end"),
    ],
)
def test_what_an_editor_or_another_dialect_does_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "router.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StartError) as refused:
        read(path)
    assert words in refused.value.detail
    assert re.match(rf"{re.escape(str(path))}:[1-9][0-9]*:[1-9][0-9]*: ", refused.value.detail)


@pytest.mark.parametrize(("text", "at"), [("a = 1\nb = [\n", "3:1"), ("a = {", "1:6"), ("a = \n", "1:5")])
def test_the_place_of_what_is_no_toml(tmp_path: Path, text: str, at: str) -> None:
    path = tmp_path / "router.toml"
    path.write_text(text)
    with pytest.raises(StartError) as refused:
        read(path)
    assert refused.value.detail.startswith(f"{path}:{at}: ")
    assert "at line" not in refused.value.detail
    assert "at end" not in refused.value.detail
