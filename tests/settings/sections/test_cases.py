from typing import Any

import pytest
from pydantic import ValidationError

from router.settings.sections.cases import Cases


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        pytest.param(
            "headers", ["Authorization"], "'Authorization' holds credentials, which are never kept", id="credentials"
        ),
        pytest.param("headers", ["set-cookie"], "'set-cookie' holds credentials", id="cookies"),
        pytest.param("headers", ["a b"], "'a b' is no name of a header field", id="header"),
        pytest.param("redact_paths", ["a.b"], "'a.b' is no JSON pointer: write", id="path"),
        pytest.param("ignore_paths", ["id"], "'id' is no JSON pointer", id="ignored path"),
        pytest.param("redact_patterns", ["("], "'(' is no regular expression: missing )", id="pattern"),
        pytest.param("body_bytes_max", 1 << 20, "less than or equal to 196608", id="larger than a record"),
        pytest.param("on_promote", "maybe", "'require', 'report' or 'off'", id="mode"),
    ],
)
def test_a_wrong_value_is_named(member: str, value: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Cases(**{member: value})
    assert message in str(caught.value)


def test_names_of_fields_are_compared_in_lower_case() -> None:
    assert Cases(headers=["X-Tenant"]).headers == ["x-tenant"]
