"""A version that answers 200 with NaN is rolled back by itself; impossible requests are refused; a bad schema is rejected."""

from __future__ import annotations

import os
import signal
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, service_settings, until
from tests.end_to_end.traffic import Traffic
from tests.texts import golden

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(60)]
VALIDATION = f"""
[services.{SERVICE}.validation]
request_schema = "SCHEMA"
response_finite = ["/scores"]

[services.{SERVICE}.inputs]
fields = [{{ pointer = "/inputs", kind = "number" }}]
samples_per_s = 20

[services.{SERVICE}.acceptance]
after_s = 1.0
requests_min = 20
"""


async def refused(router: Router, body: bytes) -> tuple[int, str | None]:
    async with aiohttp.ClientSession() as session:
        headers = {"Content-Type": "application/json"}
        async with session.post(router.url + "/infer", data=body, headers=headers) as response:
            return response.status, response.headers.get("X-Router-Error")


async def test_a_version_that_answers_nan_is_rolled_back(start_router: StartRouter, tmp_path: Any) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "required": ["inputs"]}')
    good, nan = backends.ok(b'{"scores": [0.1, 0.9]}'), backends.ok(b'{"scores": [0.1, NaN]}')
    async with Backend(good) as old, Backend(good) as new:
        router = await start_router(service_settings(old.url, more=VALIDATION.replace("SCHEMA", str(schema))))
        assert await refused(router, b'{"rows": []}') == (422, "request_invalid_schema")
        assert [request for request in old.requests if b"rows" in request.body] == []
        schema.write_text('{"type": "objekt"}')
        os.kill(router.pid, signal.SIGHUP)

        async def said() -> bool:
            return golden("reload.refused") in router.log and "no usable JSON Schema" in router.log

        await until(said, 5, "the refusal of the new schema")
        assert await refused(router, b'{"rows": []}') == (422, "request_invalid_schema")

        await router.promote_new("v2", new.url)
        async with Traffic(router.url, per_s=60) as traffic:

            async def learns() -> bool:
                inputs = (await router.service())["inputs"]
                return bool(inputs["learned"] and inputs["unreadable"] == 0)

            await until(learns, 10, "requests being learned once the version was accepted")
            new.behaviour = nan

            async def entry() -> dict[str, Any] | None:
                found = await router.journal("rolled_back")
                return found[0] if found else None

            data = (await until(entry, 15, "a rollback"))["data"]
            assert set(traffic.endings()) == {200}
        assert (data["from"], data["to"], data["trigger"]["kind"]) == ("v2", "v1", "hard_failure")
        assert data["evidence"]["errors"].keys() == {"invalid"}
        validated = (await router.service())["validated"]
        assert validated["request"]["schema"] == 2
        assert validated["response"]["finite"] >= 10
