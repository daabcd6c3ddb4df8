"""What a record says of the requests that failed, and of how much may fail in all."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.incidents.context import IncidentContext, budget, failing
from router.control.incidents.document import document
from router.control.store.history_store import HistoryUnavailable
from router.rollout.history.service_report import Totals
from router.settings.sections.service import Objective
from tests.control.incidents.played_incident import Played


def failure(number: int = 0, version: str = "fraud-v8", **more: Any) -> dict[str, Any]:
    """Return one as workers have captured it, bodies included."""
    found = {
        "at": 1_795_406_460.0 + number, "at_ns": number, "version": version, "endpoint": "http://a:1", "method": "POST",
        "target": f"/infer?n={number}", "outcome": "server_error", "status": 500, "complaint": None, "request_id": f"r{number}",
        "lasted_ms": 1.5, "request_bytes": 9, "headers": {"x-user": "ann"}, "request": {"body": "secret"}, "rescue": None,
    }  # fmt: skip
    return found | more


def test_a_fingerprint_is_kept_where_the_capture_has_one() -> None:
    [item] = failing([failure(1, fingerprint="00c0ffee00c0ffee")], 20)["items"]
    assert item["fingerprint"] == "00c0ffee00c0ffee"


def test_of_a_request_stays_what_it_was_and_how_it_ended() -> None:
    rescue = {"version": "fraud-v7", "outcome": "ok", "status": 200, "fault": False, "lasted_ms": 2.0}
    assert failing([failure(1, rescue=rescue)], 20) == {
        "known": True,
        "seen": 1,
        "why": "all 1 that were captured",
        "items": [
            {
                "at": "2026-11-23T04:01:01.000Z", "path": "/infer?n=1", "endpoint": "http://a:1", "method": "POST",
                "outcome": "server_error", "status": 500, "complaint": None, "request_id": "r1", "lasted_ms": 1.5,
                "request_bytes": 9, "rescue": {"version": "fraud-v7", "outcome": "ok", "status": 200},
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("count", "items_max", "shown", "why"),
    [
        (0, 20, [], "no failing requests were captured"),
        (4, 4, [0, 1, 2, 3], "all 4 that were captured"),
        (9, 3, [0, 1, 8], "the first 2 and the last 1 of 9 that were captured"),
        (9, 0, [], "the first 0 and the last 0 of 9 that were captured"),
    ],
)
def test_the_first_and_the_last_ones_are_shown(count: int, items_max: int, shown: list[int], why: str) -> None:
    result = failing([failure(number) for number in range(count)], items_max)
    assert [one["request_id"] for one in result["items"]] == [f"r{number}" for number in shown]
    assert (result["why"], result["seen"]) == (why, count)


class Rows:
    """A history that knows so many requests, or cannot be read."""

    def __init__(self, totals: Totals | None) -> None:
        self.totals = totals

    async def read(self, _: Any) -> Totals:
        if self.totals is None:
            raise HistoryUnavailable("the disk hangs")
        return self.totals


async def test_only_what_failed_on_the_version_that_was_left_counts(played: Played) -> None:
    timeline = played.sources().timeline
    assert timeline is not None
    asked = []

    async def captured(*what: Any) -> list[dict[str, Any]]:
        asked.append(what)
        return [failure(3), failure(2, "fraud-v7"), failure(1)]

    decided_ns = timeline.opening.monotonic_ns
    context = IncidentContext(captured, Rows(None))  # type: ignore[arg-type]
    result = await context.failures(timeline, decided_ns - 10**12, 20)
    assert [one["request_id"] for one in result["items"]] == ["r1", "r3"]
    await context.failures(timeline, decided_ns - 10**9, 20)
    until_ns = decided_ns + 4 * 10**9
    assert asked == [("fraud", decided_ns - ago, until_ns, 4096) for ago in (10**12, 300 * 10**9)]


@pytest.mark.parametrize(
    ("availability", "totals", "known"),
    [
        (0.999, Totals(accepted=1000, seconds=60.04), {"requests": 1000, "seconds": 60.0}),
        (0.999, Totals(), None),
        (0.999, None, None),
        (None, Totals(accepted=1000, seconds=60.0), None),
    ],
    ids=["known", "no rows", "unreadable", "nothing promised"],
)
async def test_how_many_requests_there_are(
    availability: float | None, totals: Totals | None, known: dict[str, Any] | None
) -> None:
    promised = Objective(availability=availability, window_days=7)
    found = await IncidentContext(None, Rows(totals)).volume("fraud", promised, 1e9)  # type: ignore[arg-type]
    assert found == (known and {"availability": availability, "window_days": 7, **known})


WEEK = {"availability": 0.999, "window_days": 7.0, "requests": 1_000_000, "seconds": 604_800.0}


@pytest.mark.parametrize(
    ("volume", "failed", "result"),
    [
        (WEEK, 250, {"share": 0.25, "basis": "99.9 % of 1\u202f000\u202f000 requests in 7 days"}),
        (
            {**WEEK, "requests": 500_000, "seconds": 302_400.0},
            250,
            {"share": 0.25, "basis": "99.9 % of 1\u202f000\u202f000 requests in 7 days, estimated from 84 h 0 min"},
        ),
        (WEEK, 0, {"share": 0.0, "basis": "99.9 % of 1\u202f000\u202f000 requests in 7 days"}),
        (WEEK, None, None),
        (None, 250, None),
    ],
)
def test_the_share_of_what_may_fail(volume: Any, failed: int | None, result: Any) -> None:
    assert budget(volume, failed) == result


def test_a_record_shows_both(played: Played) -> None:
    made = document(played.sources(failures=failing([failure(1)], 20), volume=WEEK))
    assert made["failures"]["items"][0]["request_id"] == "r1"
    assert made["impact"]["budget"]["share"] == made["impact"]["failed_max"] / 1000
