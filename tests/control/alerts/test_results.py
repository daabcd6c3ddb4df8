"""What a sender is told about its alerts, and whether it should send them again."""

from __future__ import annotations

import pytest

from router.control.admin.problems import STATUS, fields
from router.control.alerts.results import AlertResult, BatchResult
from router.errors.codes import RefusalCode

COUNTS = AlertResult("f1", "counts", "it counts against v1", "svc", "Drift")
UNKNOWN = AlertResult("f2", "service_unknown", "", outcome="refused", code=RefusalCode.SERVICE_UNKNOWN)
UNMAPPED = AlertResult("f3", "unmapped", "", outcome="ignored", code=RefusalCode.UNMAPPED)
LATER = AlertResult("f4", "too_many_alerts", "n", "svc", "Drift", "later", RefusalCode.TOO_MANY_ALERTS)
RATE = AlertResult("f5", "alert_rate", "r", "svc", "Drift", "later", RefusalCode.ALERT_RATE)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([], None),
        ([COUNTS], None),
        ([COUNTS, UNKNOWN, UNMAPPED], None),
        ([COUNTS, LATER], "too_many_alerts"),
        ([RATE], "alert_rate"),
        ([LATER, COUNTS.unwritten(), RATE], "journal_unavailable"),
    ],
)
def test_a_request_is_repeated_only_if_that_helps(results: list[AlertResult], code: str | None) -> None:
    refusal = BatchResult(results, retry_after_s=7).postponed()
    assert (refusal and refusal.code) == code
    if refusal is not None:
        assert STATUS[refusal.code] == 503
        assert fields(refusal) == {"Retry-After": "1" if code == "journal_unavailable" else "7"}


def test_each_alert_has_its_receipt() -> None:
    one, two, three = BatchResult([COUNTS, COUNTS.unwritten(), UNKNOWN]).receipts()
    assert (one["index"], one["name"], one["outcome"], one["code"]) == (0, "Drift", "taken", None)
    assert (two["index"], two["result"], two["outcome"], two["code"]) == (1, "counts", "later", "journal_unavailable")
    assert [result.unusable for result in (COUNTS, LATER, UNMAPPED, UNKNOWN)] == [False, False, False, True]
    assert three["code"] == "service_unknown"
