from __future__ import annotations

import pytest

from router.rollout.cases.body_fields import BODY_FIELDS, DIGESTS, LISTS, is_body_field
from router.rollout.cases.case import NEVER_KEPT
from router.settings.sections.cases import Cases


def test_no_field_of_a_body_holds_credentials_or_is_a_digest() -> None:
    assert BODY_FIELDS.keys() & (NEVER_KEPT | DIGESTS) == set()
    assert BODY_FIELDS.keys() > LISTS
    assert all(name == name.lower() and reason for name, reason in BODY_FIELDS.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("content-encoding", True),
        ("ce-type", True),
        ("ce-my-extension", True),
        ("cef", False),
        ("authorization", False),
    ],
)
def test_a_body_field(name: str, expected: bool) -> None:
    assert is_body_field(name) is expected


@pytest.mark.parametrize("name", sorted(NEVER_KEPT))
def test_a_field_with_credentials_cannot_be_added(name: str) -> None:
    with pytest.raises(ValueError, match="holds credentials"):
        Cases(headers=[name.title()])


def test_other_fields_can_be_added() -> None:
    assert Cases(headers=["X-Tenant"]).headers == ["x-tenant"]
