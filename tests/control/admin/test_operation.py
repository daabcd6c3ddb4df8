"""From bytes to a checked call: queries, bodies, preconditions, idempotency keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.settings.sections.admin import Admin
from tests.control.conftest import AdminHarness, StartAdmin


@pytest.mark.parametrize("value", ["16777218", 'W/"1"', '"1", "2"', '"x"', '""'])
async def test_an_if_match_that_is_no_generation_is_refused(admin: AdminHarness, value: str) -> None:
    how = {"headers": {"If-Match": value}, "json": {}}
    assert await admin.refused("POST", "/v1/services/fraud/rollback", **how) == (400, "request_invalid")
    assert admin.fake.calls == []


async def test_the_same_key_gives_the_same_answer_without_a_second_change(admin: AdminHarness) -> None:
    how = {"headers": {"Idempotency-Key": "k1"}, "json": {"reason": "bad"}}
    first = await admin.call("POST", "/v1/services/fraud/rollback", **how)
    second = await admin.call("POST", "/v1/services/fraud/rollback", **how)
    assert (first[0], first[2]) == (second[0], second[2])
    assert ("Idempotency-Replayed" in first[1], second[1]["Idempotency-Replayed"]) == (False, "true")
    assert len(admin.fake.calls) == 1
    other = {"headers": {"Idempotency-Key": "k1"}, "json": {"reason": "other"}}
    assert await admin.refused("POST", "/v1/services/fraud/rollback", **other) == (422, "idempotency_key_reused")


async def test_a_refusal_that_is_replayed_says_so(admin: AdminHarness) -> None:
    admin.fake.refusal = Refusal(RefusalCode.NO_STANDBY, "there is no standby")
    how = {"headers": {"Idempotency-Key": "k1"}, "json": {}}
    first = await admin.call("POST", "/v1/services/fraud/rollback", **how)
    second = await admin.call("POST", "/v1/services/fraud/rollback", **how)
    assert (first[0], first[2]["code"]) == (second[0], second[2]["code"]) == (409, "no_standby")
    assert ("Idempotency-Replayed" in first[1], second[1].get("Idempotency-Replayed")) == (False, "true")
    assert len(admin.fake.calls) == 1


async def test_a_second_request_with_the_key_waits_for_the_first(admin: AdminHarness) -> None:
    admin.fake.gate = asyncio.Event()
    how = {"headers": {"Idempotency-Key": "k1"}, "json": {}}
    both = asyncio.gather(*(admin.call("POST", "/v1/services/fraud/rollback", **how) for _ in range(2)))
    while not admin.fake.calls:
        await asyncio.sleep(0)
    admin.fake.gate.set()
    first, second = await both
    assert (first[0], first[2]) == (second[0], second[2])
    assert len(admin.fake.calls) == 1


async def test_a_refusal_is_remembered_and_a_failure_of_ours_is_not(admin: AdminHarness) -> None:
    how = {"headers": {"Idempotency-Key": "k1"}, "json": {}}
    admin.fake.refusal = Refusal(RefusalCode.JOURNAL_UNAVAILABLE, "disk full")
    assert await admin.refused("POST", "/v1/services/fraud/rollback", **how) == (503, "journal_unavailable")
    admin.fake.refusal = Refusal(RefusalCode.NO_STANDBY, "nothing to go back to")
    for _ in range(2):
        assert await admin.refused("POST", "/v1/services/fraud/rollback", **how) == (409, "no_standby")
    assert len(admin.fake.calls) == 2


@pytest.mark.parametrize(
    "query", ["dry_run=perhaps", "dryrun=true", "dry_run=true&dry_run=false", "dry_run="], ids=lambda query: query
)
async def test_a_bad_query_changes_nothing(admin: AdminHarness, query: str) -> None:
    path = f"/v1/services/fraud/freeze?{query}"
    assert await admin.refused("POST", path, json={}) == (400, "request_invalid")
    assert admin.fake.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Type": "text/plain"}, id="text"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, id="form"),
        pytest.param({"Content-Type": "application/json; charset=utf-16"}, id="charset"),
        pytest.param({"Content-Type": "application/jsonx"}, id="nearly"),
        pytest.param({"Content-Type": ""}, id="none"),
    ],
)
async def test_other_content_types_are_415(admin: AdminHarness, headers: dict[str, str]) -> None:
    how = {"data": b"{}", "headers": headers}
    assert await admin.refused("POST", "/v1/services/fraud/freeze", **how) == (415, "content_type")
    assert admin.fake.calls == []


async def test_a_compressed_body_is_415(admin: AdminHarness) -> None:
    how = {"json": {}, "headers": {"Content-Encoding": "gzip"}}
    assert await admin.refused("POST", "/v1/services/fraud/freeze", **how) == (415, "content_encoding")


async def test_a_body_above_the_limit_is_413_announced_or_not(start_admin: StartAdmin) -> None:
    admin = await start_admin(Admin(body_bytes_max=100))
    headers = {"Content-Type": "application/json"}

    async def unannounced() -> Any:
        for _ in range(3):
            yield b" " * 50

    for data in (b" " * 101, unannounced()):
        how = {"data": data, "headers": headers}
        assert await admin.refused("POST", "/v1/services/fraud/freeze", **how) == (413, "body_too_large")
    assert admin.fake.calls == []
