"""Prefixes of paths end at a border of segments."""

from __future__ import annotations

import pytest

from router.runtime.url_path import is_under


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        (b"/", b"/", True),
        (b"/a", b"/", True),
        (b"/a", b"/a", True),
        (b"/a/", b"/a", True),
        (b"/a/b", b"/a", True),
        (b"/ab", b"/a", False),
        (b"/b", b"/a", False),
        (b"/a/b", b"/a/", True),
        (b"/a", b"/a/", False),
        (b"/%61", b"/a", False),
        (b"*", b"/", False),
    ],
)
def test_a_prefix_ends_at_a_border_of_segments(path: bytes, prefix: bytes, expected: bool) -> None:
    assert is_under(path, prefix) is expected
