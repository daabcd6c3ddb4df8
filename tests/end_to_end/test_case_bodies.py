"""Captured requests are sent to a candidate as they came, with all that their bodies need; also those that fail late."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
from email import message_from_bytes
from typing import Any, Final

import aiohttp
import pytest

from router.control.cases.builder import DELAY_NS
from router.runtime import clock
from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, service_settings, until
from tests.end_to_end.test_cases import cases_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]

SETTINGS: Final = f"""replay = "always"
[services.{SERVICE}.cases]
bodies = true
"""
REDACTED: Final = SETTINGS + 'redact_paths = ["/**/user"]\n'

TENSORS: Final = (
    b'{"parameters":{"user":"Ann"},"inputs":[{"name":"x","datatype":"FP32","parameters":{"binary_data_size":8}}]}'
)
EVENT: Final = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "test", "ce-type": "score"}
KINDS: Final[dict[str, tuple[dict[str, str], bytes]]] = {
    "/triton": ({"Inference-Header-Content-Length": str(len(TENSORS))}, TENSORS + struct.pack("<2f", 0.5, 1e9)),
    "/gzip": ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, gzip.compress(b'{"user":"Ann"}')),
    "/multipart": (
        {"Content-Type": "multipart/form-data; boundary=0xff"},
        b'--0xff\r\nContent-Disposition: form-data; name="f"\r\n\r\n\x00\xff\r\n--0xff--\r\n',
    ),
    "/msgpack": ({"Content-Type": "application/msgpack"}, b"\x81\xa1x\xca\x3f\x00\x00\x00"),
    "/protobuf": ({"Content-Type": "application/x-protobuf"}, b"\x0d\x00\x00\x00\x3f"),
    "/event": ({"Content-Type": "application/json", **EVENT}, b'{"user":"Ann"}'),
}
READ_WITH_RULES: Final = {"/triton", "/gzip", "/event"}


def is_readable(request: backends.RawRequest) -> bool:
    """Return whether a strict server can read the request, by its path."""
    path, body, kind = request.line.split()[1], request.body, request.field("content-type") or b""
    if path == b"/triton":
        length = int(request.field("inference-header-content-length") or 0)
        return "inputs" in json.loads(body[:length] or b"{}") and len(body) - length == 8
    if path == b"/gzip":
        return request.field("content-encoding") == b"gzip" and isinstance(json.loads(gzip.decompress(body)), dict)
    if path == b"/multipart":
        parts = message_from_bytes(b"Content-Type: %b\r\n\r\n%b" % (kind, body)).get_payload()
        return isinstance(parts, list) and len(parts) == 1
    if path == b"/event":
        return all(request.field(name) == value.encode() for name, value in EVENT.items())
    return kind == {b"/msgpack": b"application/msgpack", b"/protobuf": b"application/x-protobuf"}[path]


def model(*, broken: bool) -> backends.Behaviour:
    """Answer 400 to what it cannot read, and 500 to everything if it is broken."""

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        if request.line.startswith(b"GET /health"):
            code = 200
        else:
            code = 500 if broken else 200 if is_readable(request) else 400
        await connection.send(backends.response(code, b'{"score":0.5}', content_type="application/json"))

    return backends.answering(answer)


async def send_all(router: Router) -> set[int]:
    """Send one request of each kind; return their statuses."""
    statuses = set()
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:
        for path, (fields, body) in KINDS.items():
            async with session.post(f"{router.url}{path}", data=body, headers=fields) as response:
                statuses.add(response.status)
    return statuses


async def rolled_back_to(router: Router, version: str) -> bool:
    await send_all(router)
    return bool((await router.service())["active"] == version)


@pytest.mark.parametrize(("settings", "made"), [(SETTINGS, set(KINDS)), (REDACTED, READ_WITH_RULES)])
async def test_each_kind_of_body_is_read_by_a_good_candidate(
    start_router: StartRouter, settings: str, made: set[str]
) -> None:
    async with (
        Backend(model(broken=False)) as good,
        Backend(model(broken=True)) as bad,
        Backend(model(broken=False)) as fixed,
    ):
        router = await start_router(service_settings(good.url, more=settings))
        assert await send_all(router) == {200}
        await router.promote_new("v2", bad.url)
        await until(lambda: rolled_back_to(router, "v1"), 30, "v2 is rolled back")

        async def frozen() -> list[dict[str, Any]]:
            return await cases_of(router)

        cases = await until(frozen, 20, "the cases are made")
        assert {case["request"]["target"] for case in cases} == made
        assert {case["expect"]["status"] for case in cases} == {"2xx"}, "the standby could read each of them"
        stored = b"".join(path.read_bytes() for path in router.state.glob("cases.sqlite*"))
        assert (b"Ann" in stored) is (settings == SETTINGS)
        await router.promote_new("v3", fixed.url)
        checked = [entry for entry in await router.journal() if entry["type"] == "cases_checked"]
        assert (checked[-1]["data"]["passed"], checked[-1]["data"]["failed"]) == (len(cases), 0)


async def test_a_request_that_times_out_after_the_cases_were_made_becomes_one(start_router: StartRouter) -> None:
    timeout_s = DELAY_NS / 1e9 + 4.0
    more = f'replay = "never"\nfirst_byte_timeout_s = {timeout_s}\n[services.{SERVICE}.cases]\nbodies = true\n'

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        if b"hang" in request.body:
            await asyncio.Event().wait()
        await connection.send(backends.response(200, b"{}"))

    async with Backend(backends.ok()) as good, Backend(backends.answering(answer)) as bad:
        router = await start_router(service_settings(good.url, more=more))
        await router.promote_new("v2", bad.url)
        async with aiohttp.ClientSession() as session:
            hanging = asyncio.ensure_future(session.post(f"{router.url}/x", data=b"hang"))
            await until(lambda: _arrived(bad, b"hang"), 10, "the request is in flight")
            incident = (await router.verb("rollback", reason="it is slow"))["incident"]
            response = await hanging
            assert response.status == 504

        async def frozen() -> list[dict[str, Any]]:
            return await cases_of(router)

        (case,) = await until(frozen, 30, "the late request is a case")
        assert (case["incident"], case["request"]["body"], case["failed"]["outcome"]) == (incident, "hang", "timed_out")
        entries = [entry["data"] for entry in await router.journal() if entry["type"] == "cases_frozen"]
        assert [(data["seen"], data.get("late", 0)) for data in entries] == [(0, 0), (1, 1)]


async def _arrived(backend: Backend, mark: bytes) -> bool:
    return any(mark in request.body for request in backend.requests)


async def test_a_pattern_of_exponential_cost_does_not_hold_control(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as good, Backend(model(broken=True)) as bad:
        router = await start_router(service_settings(good.url, more=SETTINGS + 'redact_patterns = ["(a+)+$"]\n'))
        await router.promote_new("v2", bad.url)
        slowest_s = 0.0

        async def hidden() -> list[dict[str, Any]]:
            nonlocal slowest_s
            async with aiohttp.ClientSession() as session:
                await session.post(f"{router.url}/x", data=b'{"text":"%bb Ann"}' % (b"a" * 40))
            begun_s = clock.now_s()
            await router.status()
            slowest_s = max(slowest_s, clock.now_s() - begun_s)
            return await cases_of(router)

        (case,) = await until(hidden, 40, "the cases are made")
        assert case["request"]["body"] == '{"text":"[redacted]"}'
        assert "redaction_slow" in [alarm["code"] for alarm in (await router.status())["alarms"]]
        assert slowest_s < 2.0
