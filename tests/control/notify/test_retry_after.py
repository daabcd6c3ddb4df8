"""The forms in which receivers ask to wait."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from router.control.notify.retry_after import RETRY_AFTER_MAX_S, retry_after_s

NOW_S = 1_445_412_480.0
"""Wed, 21 Oct 2015 07:28:00 GMT"""


@pytest.mark.parametrize(
    ("fields", "document", "seconds"),
    [
        pytest.param({"Retry-After": "30"}, None, 30, id="Slack, Teams: seconds"),
        pytest.param({"retry-after": " 30 "}, None, 30, id="another case"),
        pytest.param({"Retry-After": "0"}, None, 0, id="at once"),
        pytest.param({"Retry-After": "1.5"}, None, 1.5, id="a fraction"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2015 07:29:00 GMT"}, None, 60, id="HTTP date"),
        pytest.param({"Retry-After": "Wednesday, 21-Oct-15 07:29:00 GMT"}, None, 60, id="RFC 850"),
        pytest.param(
            {"Retry-After": "Wed, 21 Oct 2015 09:29:00 GMT", "Date": "Wed, 21 Oct 2015 09:28:00 GMT"}, None, 60,
            id="by the receiver's clock, which is wrong",
        ),
        pytest.param({"Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT"}, None, 0, id="past"),
        pytest.param({"Retry-After": "999999"}, None, RETRY_AFTER_MAX_S, id="for days"),
        pytest.param({"Retry-After": "Fri, 21 Oct 2095 07:28:00 GMT"}, None, RETRY_AFTER_MAX_S, id="in eighty years"),
        pytest.param({"Retry-After": "-5"}, None, None, id="negative"),
        pytest.param({"Retry-After": "soon"}, None, None, id="words"),
        pytest.param({"Retry-After": ""}, None, None, id="empty"),
        pytest.param({"Retry-After": "9" * 400}, None, None, id="too long"),
        pytest.param({"Retry-After": "nan"}, None, None, id="no number"),
        pytest.param({"Retry-After": "٣"}, None, None, id="other digits"),
        pytest.param({}, {"retry_after": 0.53, "global": False}, 0.53, id="Discord"),
        pytest.param({"Retry-After": "2"}, {"retry_after": 9}, 2, id="the field goes before"),
        pytest.param({}, {"retry_after": True}, None, id="no number in JSON"),
        pytest.param({}, {"retry_after": -1}, None, id="negative in JSON"),
        pytest.param({"ratelimit-reset": "17"}, None, 17, id="PagerDuty"),
        pytest.param({"x-ratelimit-reset-after": "4.2"}, None, 4.2, id="a gateway"),
        pytest.param({"x-ratelimit-reset": str(int(NOW_S) + 90)}, None, 90, id="since 1970"),
        pytest.param({"x-ratelimit-reset": "90"}, None, 90, id="a delay"),
        pytest.param({}, None, None, id="nothing"),
    ],
)  # fmt: skip
def test_how_long_to_wait(fields: dict[str, str], document: dict[str, Any] | None, seconds: float | None) -> None:
    assert retry_after_s(429, CIMultiDict(fields), document, NOW_S) == seconds


def test_the_fields_of_a_quota_count_for_429_only() -> None:
    fields = CIMultiDict({"x-ratelimit-reset": "90"})
    assert retry_after_s(500, fields, {"retry_after": 4}, NOW_S) is None
    assert retry_after_s(503, CIMultiDict({"Retry-After": "7"}), None, NOW_S) == 7
