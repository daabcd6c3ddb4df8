"""What a usable secret is, wherever it comes from; no error repeats it."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.runtime.text.secret_text import SecretUnusable, cleaned, from_file, masked_urls

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize("around", ["", "\n", "\r\n", "\r", " ", "\t", " \n\n", "\ufeff", "\ufeff \r\n"])
def test_what_tools_add_is_removed(around: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes((around + SECRET + around).encode())
    assert from_file(file) == cleaned(around + SECRET + around, "x") == SECRET


def test_a_space_inside_stays() -> None:
    assert cleaned("two words\n", "x") == "two words"
    assert cleaned("pässwörd", "x", ascii_only=False) == "pässwörd"


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("", "is empty"),
        (" \r\n", "is empty"),
        (f"{SECRET}\n{SECRET}", "holds a line break inside"),
        (f"{SECRET}\r{SECRET}", "holds a line break inside"),
        (f"{SECRET}\u2028{SECRET}", "holds a line break inside"),
        (f"{SECRET}\x85{SECRET}", "holds a line break inside"),
        (f"{SECRET}\0{SECRET}", "holds a"),
        (f"{SECRET}\x1b{SECRET}", "holds a control character inside"),
        (f"{SECRET}\x7f{SECRET}", "holds a control character inside"),
        (f"{SECRET}\x9b{SECRET}", "holds a control character inside"),
        (f"{SECRET}é", "not ASCII"),
    ],
)
def test_what_is_no_secret_names_its_source(text: str, defect: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(text.encode())
    for call, source in ((lambda: cleaned(text, "VARIABLE"), "VARIABLE"), (lambda: from_file(file), str(file))):
        with pytest.raises(SecretUnusable, match=defect) as caught:
            call()
        assert str(caught.value).startswith(f"{source} ")
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("raw", [SECRET.encode("utf-16"), SECRET.encode() + b"\xff", b"x" * 9000])
def test_a_file_that_is_no_text_or_too_long(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(raw)
    with pytest.raises(SecretUnusable, match=r"^the key ") as caught:
        from_file(tmp_path / "file", source="the key")
    assert SECRET not in str(caught.value)


def test_a_byte_of_the_environment_that_is_no_text() -> None:
    with pytest.raises(SecretUnusable, match="VARIABLE is not UTF-8"):
        cleaned(f"{SECRET}\udcff", "VARIABLE", ascii_only=False)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("no https://host:1/path here", "no https://host:1/path here"),
        ("at http://ann:pw@host/x: refused", "at http://(hidden)@host/x: refused"),
        ("'http://ann:p@w/d@host'", "'http://(hidden)@host'"),
        ("see https://host/a?token=x#y now", "see https://host/a?(hidden) now"),
        ("what? a@b", "what? a@b"),
    ],
)
def test_urls_in_messages(text: str, masked: str) -> None:
    assert masked_urls(text) == masked
