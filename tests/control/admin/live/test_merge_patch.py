"""The patch turns one document into the next, for a reader that takes a missing member for null (RFC 7396)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.control.admin.live.merge_patch import difference

VALUES = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("xyz", max_size=1), inner, max_size=3),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text("xyz", max_size=1), VALUES, max_size=3)


def patched(target: Any, patch: Any) -> Any:
    """RFC 7396 §2, word for word."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = patched(found.get(name), value)
    return found


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(member) for name, member in value.items() if member is not None}


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": None}, {}, {}),
        ({}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, {"a": {"c": 3}}),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 3]}),
        ({"a": 0}, {"a": False}, {"a": False}),
        ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {"b": None}}),
    ],
)
def test_a_difference(before: Any, after: Any, patch: Any) -> None:
    found = difference(before, after)
    assert (found, repr(found)) == (patch, repr(patch))


@given(before=DOCUMENTS, after=DOCUMENTS)
def test_the_patched_document_is_the_new_one(before: Any, after: Any) -> None:
    assert without_nulls(patched(without_nulls(before), difference(before, after))) == without_nulls(after)
    assert difference(after, after) == {}
