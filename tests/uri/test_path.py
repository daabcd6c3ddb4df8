"""Prefixes of paths end at a border of segments."""

from __future__ import annotations

import pytest

from router.uri.path import is_under, with_prefix


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


@pytest.mark.parametrize(
    ("target", "prefix", "new", "expected"),
    [
        (b"/a/b?c=/a", b"/a", b"/x/y", b"/x/y/b?c=/a"),
        (b"/a", b"/a", b"/x", b"/x"),
        (b"/a?q", b"/a", b"/x", b"/x?q"),
        (b"/a?q", b"/a", b"/", b"/?q"),
        (b"/a", b"/a", b"/", b"/"),
        (b"/b", b"/", b"/x", b"/x/b"),
        (b"/b", b"/", b"/x/", b"/x/b"),
        (b"/", b"/", b"/x", b"/x/"),
        (b"/a/b", b"/a/", b"/x", b"/x/b"),
        (b"/ab", b"/a", b"/x", b"/ab"),
        (b"*", b"/", b"/x", b"*"),
        (b"/b?/a", b"/a", b"/x", b"/b?/a"),
        (b"/a%2Fb//c", b"/a%2Fb", b"/x", b"/x//c"),
    ],
)
def test_a_prefix_is_replaced_and_every_other_byte_stays(
    target: bytes, prefix: bytes, new: bytes, expected: bytes
) -> None:
    assert with_prefix(target, prefix, new) == expected
