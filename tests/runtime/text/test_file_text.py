"""Text of files: UTF-8 with or without a byte order mark; every other encoding is named."""

from __future__ import annotations

import pytest

from router.runtime.text.file_text import decoded, without_mark


@pytest.mark.parametrize("text", ["", "a = 1\n", "a = 1\r\n", "ö = '☃'"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_is_read(text: str, encoding: str) -> None:
    assert decoded(text.encode(encoding)) == text


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("a = 'SECRET'".encode("utf-16"), "UTF-16"),
        ("a = 'SECRET'".encode("utf-16-le"), "UTF-16"),
        ("a = 'SECRET'".encode("utf-16-be"), "UTF-16"),
        (b"\xfe\xff" + "SECRET".encode("utf-16-be"), "UTF-16"),
        ("a = 'SECRET'".encode("utf-32"), "UTF-32"),
        (b"a = 1\nb = 'SECRET\xe9'", r"not UTF-8 \(at line 2, byte 12\): save it as UTF-8"),
        (b"a = 1\nb = 'SECRET\x00'", r"NUL \(at line 2, byte 12\): remove it"),
        (b"\0", "NUL"),
        (b"\xef\xbb\xbfa\xff", "not UTF-8"),
    ],
)
def test_what_is_no_utf_8_is_named_with_its_place_and_not_repeated(raw: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        decoded(raw)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_only_a_mark_at_the_beginning_is_removed() -> None:
    mark = b"\xef\xbb\xbf"
    assert without_mark(mark + b"{}" + mark) == b"{}" + mark
