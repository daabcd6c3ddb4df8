"""Problem documents."""

from __future__ import annotations

from router.errors import Refusal
from router.errors.codes import RefusalCode
from tests.control.conftest import AdminHarness
from tests.hostile_text import HOSTILE, found_in


async def test_a_refusal_of_the_controller_keeps_its_status_code_and_facts(admin: AdminHarness) -> None:
    admin.fake.refusal = Refusal(RefusalCode.GENERATION_STALE, "it is 9 by now", facts={"generation": 9, "status": 200})
    status, headers, problem = await admin.call(
        "POST", "/v1/services/fraud/rollback", json={}, headers={"X-Request-ID": "abc"}
    )
    assert (status, headers["Content-Type"]) == (412, "application/problem+json")
    assert problem == {
        "type": "about:blank",
        "title": "Precondition Failed",
        "status": 412,
        "detail": "it is 9 by now",
        "code": "generation_stale",
        "request_id": "abc",
        "generation": 9,
    }


async def test_a_journal_that_is_away_is_a_503_that_may_be_tried_again(admin: AdminHarness) -> None:
    admin.fake.refusal = Refusal(RefusalCode.JOURNAL_UNAVAILABLE, "disk full")
    status, headers, _ = await admin.call("POST", "/v1/services/fraud/rollback", json={})
    assert (status, headers["Retry-After"]) == (503, "1")


async def test_unknown_paths_and_methods(admin: AdminHarness) -> None:
    assert await admin.refused("GET", "/v1/nothing") == (404, "path_unknown")
    assert await admin.refused("GET", "/v1/status/") == (404, "path_unknown")
    assert await admin.refused("GET", "/v1/services/other") == (404, "service_unknown")
    assert await admin.refused("GET", "/v1/services/%0d%0aX") == (404, "service_unknown")
    status, headers, problem = await admin.call("DELETE", "/v1/status")
    assert (status, headers["Allow"], problem["code"]) == (405, "GET, HEAD", "method_not_allowed")


async def test_what_a_problem_tells_people_is_printable_and_its_facts_are_kept(admin: AdminHarness) -> None:
    admin.fake.refusal = Refusal(RefusalCode.GENERATION_STALE, f"{HOSTILE}\n\ud800", facts={"told": HOSTILE})
    _, _, problem = await admin.call("POST", "/v1/services/fraud/rollback", json={})
    assert found_in(problem["detail"].replace("\n", "\x00")) == []
    assert problem["told"] == HOSTILE
